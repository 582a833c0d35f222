"""A head on the classifier's features: it learns, is part of one graph with the classifier, and resumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import input_spec, pictures
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier, distribution, open_classifier
from harmgauge_models.graphs.feature_maps import find_feature_maps
from harmgauge_models.graphs.fuse import fuse
from harmgauge_models.graphs.run import open_session, predict
from harmgauge_models.networks.feature_head import FeatureHead
from harmgauge_models.networks.writer import written
from harmgauge_models.training.distil_head import Recipe, distil_head
from tests.support.convolutional import convolutional_network
from tests.support.toy import instances

X = np.repeat(np.repeat(instances(240, (7, 7, 3)), 2, 1), 2, 2)[:, :13, :13]
RECIPE = Recipe(epochs=3, batch_rows=16)


Made = tuple[Classifier, Classifier, list[float]]


def made(
    tmp_path: Path,
    recipe: Recipe = RECIPE,
    *,
    x: Array = X,
    softmax: bool = False,
    say: Callable[[str], None] = print,
) -> Made:
    path = convolutional_network(tmp_path / "network.onnx", softmax=softmax)
    classifier = open_classifier(path, x, "classifier")
    outputs = predict(path, x, "network")
    second, losses = distil_head(
        classifier,
        find_feature_maps(classifier.network, x),
        x,
        distribution(outputs, classifier.network.gives, 1),
        pictures=pictures(x, input_spec(x, "uint8"), "HWC"),
        recipe=recipe,
        work=tmp_path,
        settings={},
        say=say,
    )
    return classifier, second, losses


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which `of_logits` was trained."""
    return tmp_path_factory.mktemp("head")


@pytest.fixture(scope="module")
def of_logits(folder: Path) -> Made:
    """A head on a classifier that gives logits."""
    return made(folder)


@pytest.mark.parametrize("softmax", [False, True])
def test_it_learns_and_the_fused_graph_is_the_two_run_apart(of_logits: Made, tmp_path: Path, softmax: bool) -> None:
    classifier, second, losses = made(tmp_path, softmax=True) if softmax else of_logits
    assert classifier.network.gives == ("probabilities" if softmax else "logits")
    assert losses[-1] < losses[0]
    fused = fuse(classifier.network, second.network, "kld", 1.0)
    onnx.checker.check_model(fused, full_check=True)
    assert [value.name for value in fused.graph.input] == ["input"]
    assert [value.name for value in fused.graph.output] == ["score", "probabilities"]
    score, probabilities = open_session(fused.SerializeToString()).run(None, {"input": X})
    first = distribution(predict(classifier.path, X, "network"), classifier.network.gives, 1)
    other = distribution(predict(second.runnable, X, "head"), "logits", 1)
    np.testing.assert_allclose(probabilities, first, atol=1e-5)
    ratio = np.log(np.clip(first, 1e-7, 1) / np.clip(other, 1e-7, 1))
    np.testing.assert_allclose(score, (np.clip(first, 1e-7, 1) * ratio).sum(1), atol=1e-4)


def test_the_classifier_is_computed_once(of_logits: Made) -> None:
    classifier, second, _ = of_logits
    fused = fuse(classifier.network, second.network, "xent", 1.0)

    def convolutions(model: onnx.ModelProto) -> int:
        return sum(node.op_type == "Conv" for node in model.graph.node)

    assert convolutions(fused) == convolutions(classifier.network.model) + convolutions(second.network.model)


def test_a_run_resumes_and_refuses_other_settings(of_logits: Made, folder: Path) -> None:
    _, first, losses = of_logits
    before = predict(first.runnable, X, "head")
    _, again, same = made(folder)
    assert same == losses
    np.testing.assert_array_equal(predict(again.runnable, X, "head"), before)
    with pytest.raises(UserError, match="different settings"):
        made(folder, Recipe(epochs=3, batch_rows=32))


def test_attacked_images_are_kept_for_the_next_run(tmp_path: Path) -> None:
    made(tmp_path, Recipe(epochs=1, batch_rows=32), x=X[:64])
    kept = tmp_path / "attacked.npz"
    before = kept.stat().st_mtime_ns
    made(tmp_path, Recipe(epochs=1, batch_rows=32), x=X[:64])
    assert kept.stat().st_mtime_ns == before
    (tmp_path / "head.checkpoint").unlink()
    made(tmp_path, Recipe(epochs=1, batch_rows=32, seed=1), x=X[:64])
    assert kept.stat().st_mtime_ns > before, "another seed, other attacks"


def test_without_gradients_it_is_trained_without_attacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise UserError("no gradients")

    monkeypatch.setattr("harmgauge_models.training.distil_head.attack_pictures", refused)
    said: list[str] = []
    _, _, losses = made(tmp_path, say=said.append)
    assert losses[-1] < losses[0]
    assert said == ["the second network is trained without attacked images: no gradients"]
    assert not (tmp_path / "attacked.npz").exists()


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)],
        [(24, 28, 28), (40, 14, 14), (48, 7, 7)],
        [(8, 21, 34), (5, 11, 17), (6, 4, 5)],
        [(12, 4, 4)],
    ],
)
def test_maps_of_any_shape_and_scale_export_as_they_compute(shapes: list[tuple[int, int, int]], tmp_path: Path) -> None:
    torch.manual_seed(0)
    spreads = [torch.linspace(0, 1000, shape[0]) for shape in shapes]
    head = FeatureHead(shapes, spreads, 5, "logits").eval()
    tensors = {f"map_{index}": 100 * torch.randn(3, *shape) for index, shape in enumerate(shapes)}
    tensors["said"] = torch.randn(3, 5)
    with torch.no_grad():
        expected: Any = head(*tensors.values()).numpy()
        head.fold()
        np.testing.assert_allclose(head(*tensors.values()).numpy(), expected, rtol=1e-3, atol=1e-3)
    session = open_session(written(head, tensors, (5,)).SerializeToString())
    given = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})[0]
    assert given.shape == (3, 5)
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-3)
