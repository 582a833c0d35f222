"""`--hidden-layer`: its syntax, and the random heads for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier, open_classifier
from harmgauge_models.graphs.hidden_layers import Wanted, parse, project, with_outputs
from harmgauge_models.graphs.run import open_session
from tests.support.toy import instances, linear_network

X = instances(50, (4, 4, 3))


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return open_classifier(linear_network(tmp_path / "classifier.onnx", (4, 4, 3), 3, 1), X, "classifier")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("relu_3:20", Wanted("relu_3", 20, 1.0)),
        ("relu_3:20:0.5", Wanted("relu_3", 20, 0.5)),
        ("block/relu:0:20:1e-2", Wanted("block/relu:0", 20, 0.01)),
        ("block/relu:a:20", Wanted("block/relu:a", 20, 1.0)),
    ],
)
def test_names_dimensions_and_weights(text: str, wanted: Wanted) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize("text", ["relu", "relu:", "relu:x", "relu:1", ":20", "relu:20:0", "relu:20:-1", "relu:2.5"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected NAME:DIM or NAME:DIM:WEIGHT"):
        parse(text)


def test_a_heads_logits_have_a_spread_of_about_one(classifier: Classifier) -> None:
    layer = project(classifier, [Wanted("flat", 400, 0.5)], X, seed=3)[0]
    assert (layer.name, layer.weight, layer.projection.shape) == ("flat", 0.5, (48, 400))
    logits = X.reshape(50, -1) @ layer.projection
    assert logits.std(0).mean() == pytest.approx(1, abs=0.1)
    again = project(classifier, [Wanted("flat", 400, 0.5)], X, seed=3)[0]
    np.testing.assert_array_equal(again.projection, layer.projection)


def test_a_tensor_that_is_not_there_is_refused_with_those_that_are(classifier: Classifier) -> None:
    with pytest.raises(UserError, match=r"--hidden-layer flatt: .* it has flat"):
        project(classifier, [Wanted("flatt", 4)], X, seed=0)


def test_a_constant_layer_is_refused(classifier: Classifier) -> None:
    with pytest.raises(UserError, match="--hidden-layer flat is constant"):
        project(classifier, [Wanted("flat", 4)], np.repeat(X[:1], 50, axis=0), seed=0)


def test_the_class_scores_come_first(classifier: Classifier) -> None:
    model = with_outputs(classifier, ["flat", "real"])
    session = open_session(model.SerializeToString())
    assert [value.name for value in session.get_outputs()] == ["y", "flat", "real"]
    assert [len(value.name) for value in classifier.network.model.graph.output] == [1], "the given graph is as it was"
