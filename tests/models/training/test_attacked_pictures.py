"""Attacked pictures for a training: they fool more than noise does, stay within their bounds, and repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import input_spec, pictures
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier, open_classifier
from harmgauge_models.graphs.run import predict
from harmgauge_models.training.attacked_pictures import EUCLIDEAN_SIZES, MAX_SIZES, AttackedPictures, attack_pictures
from tests.support.convolutional import convolutional_network
from tests.support.photographs import photographs

X = photographs(192, 13, 13)


def opened(tmp_path: Path, *, softmax: bool = False) -> Classifier:
    return open_classifier(convolutional_network(tmp_path / "network.onnx", softmax=softmax), X, "classifier")


def attacked(classifier: Classifier, seed: int = 0, x: Array = X) -> AttackedPictures:
    spec = input_spec(x, classifier.dtype)
    return attack_pictures(classifier, x, pictures(x, spec, "HWC"), seed=seed)


@pytest.mark.parametrize("softmax", [False, True])
def test_they_fool_and_stay_within_their_bounds(tmp_path: Path, softmax: bool) -> None:
    classifier = opened(tmp_path, softmax=softmax)
    found = attacked(classifier)
    assert found.x.dtype == X.dtype
    assert sorted(found.rows) == list(range(len(X)))
    moved = (found.x.astype(np.float64) - X[found.rows]).reshape(len(X), -1)
    largest, mean_square = np.abs(moved).max(1), np.sqrt((moved**2).mean(1))
    rounding = 0.5
    within_box = largest <= 255 * MAX_SIZES[1] + rounding
    within_ball = mean_square <= 255 * EUCLIDEAN_SIZES[1] + rounding
    assert (within_box | within_ball).all()
    assert (~within_box).any()  # some bound the Euclidean distance alone
    before = predict(classifier.runnable, X[found.rows], "clean").argmax(1)
    after = predict(classifier.runnable, found.x, "attacked").argmax(1)
    random = np.random.default_rng(1)
    noise = random.permuted(moved, axis=1).reshape(found.x.shape)
    noisy = np.clip(np.rint(X[found.rows] + noise), 0, 255).astype(np.uint8)
    by_noise = predict(classifier.runnable, noisy, "noisy").argmax(1)
    assert (after != before).mean() > (by_noise != before).mean() + 0.2


def test_a_seed_repeats_itself(tmp_path: Path) -> None:
    classifier = opened(tmp_path)
    first, again, other = (attacked(classifier, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.x, again.x)
    assert (first.rows != other.rows).any()


def test_little_time_gives_few_pictures(tmp_path: Path) -> None:
    classifier = opened(tmp_path)
    spec = input_spec(X, "uint8")
    found = attack_pictures(classifier, X, pictures(X, spec, "HWC"), seed=0, seconds=0)
    assert 0 < len(found.x) == len(found.rows) < len(X)


def test_an_operator_without_gradients_is_named(tmp_path: Path) -> None:
    classifier = opened(tmp_path)
    model = onnx.ModelProto()
    model.CopyFrom(classifier.network.model)
    model.graph.node.append(helper.make_node("Frobnicate", [classifier.network.output], ["z"], domain="of.its.own"))
    model.opset_import.append(helper.make_opsetid("of.its.own", 1))
    with pytest.raises(UserError, match="cannot be converted to a PyTorch module.*Frobnicate"):
        attacked(replace(classifier, network=replace(classifier.network, model=model)))
