"""Distillation: the default student, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import image_layout, input_spec
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import distribution
from harmgauge_models.graphs.run import predict
from harmgauge_models.networks.classifiers import ConvolutionalStudent, DenseStudent
from harmgauge_models.training.distil_student import Recipe, default_student, distil
from tests.support.toy import instances


@pytest.mark.parametrize(
    ("shape", "kind", "layout"),
    [
        ((32, 32, 3), ConvolutionalStudent, "HWC"),
        ((28, 20, 1), ConvolutionalStudent, "HWC"),
        ((3, 16, 24), ConvolutionalStudent, "CHW"),
        ((4, 4, 3), DenseStudent, "HWC"),
        ((30,), DenseStudent, None),
        ((10, 7), DenseStudent, None),
        ((5, 6, 7), DenseStudent, None),
    ],
)
def test_the_student_fits_the_input(shape: tuple[int, ...], kind: type[nn.Module], layout: str | None) -> None:
    x = instances(8, shape)
    student = default_student(x, 4).eval()
    assert type(student) is kind
    assert image_layout(shape) == layout
    import torch

    assert student(torch.from_numpy(x)).shape == (8, 4)


def test_a_student_learns_the_teacher_and_resumes(tmp_path: Path) -> None:
    x = instances(2000, (5,), "float32")
    weights = np.random.default_rng(3).normal(size=(5, 3)) * 3
    soft_labels = distribution(x @ weights, "logits", 1.0)
    recipe = Recipe(epochs=15, learning_rate=5e-3)
    graph, losses, name = distil(x, soft_labels, recipe, student=None, work=tmp_path, settings={})
    assert name == "DenseStudent"
    assert losses[-1] < 0.02 < losses[0], "KL divergence to the teacher, in nats"
    agreement = (predict(graph, x, "student").argmax(1) == soft_labels.argmax(1)).mean()
    assert agreement > 0.95
    again, _, _ = distil(x, soft_labels, recipe, student=None, work=tmp_path, settings={})
    np.testing.assert_array_equal(predict(again, x, "student"), predict(graph, x, "student"))
    with pytest.raises(UserError, match="different settings"):
        distil(x, soft_labels, recipe, student=None, work=tmp_path, settings={"train": "of other data"})


def own_student(x: Array, classes: int) -> nn.Module:
    return nn.Linear(x.shape[1], classes)


def test_a_student_of_ones_own() -> None:
    x = instances(200, (5,), "float32")
    soft_labels = np.full((200, 3), 1 / 3)
    spec = f"{__name__}:own_student"
    _, _, name = distil(x, soft_labels, Recipe(epochs=1), student=spec, work=None, settings={})
    assert name == spec
    for wrong in ("no.such.module:f", f"{__name__}:nothing", "nonsense"):
        with pytest.raises(UserError, match="--student"):
            distil(x, soft_labels, Recipe(epochs=1), student=wrong, work=None, settings={})


def test_distribution_is_the_power_renormalised() -> None:
    y = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]], np.float32)
    expected = y.astype(np.float64) ** (1 / 0.5)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(distribution(y, "probabilities", 0.5), expected, atol=1e-7)
    np.testing.assert_allclose(distribution(np.log(y + 1e-30), "logits", 0.5), expected, atol=1e-7)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 10.0, 20.0])
def test_a_class_without_probability_has_none_at_any_temperature(temperature: float) -> None:
    outputs = np.array([[1, 0, 0], [0.5, 0.5, 0]], np.float32)
    np.testing.assert_allclose(distribution(outputs, "probabilities", temperature), outputs, atol=1e-12)


def test_input_spec_knows_pictures_by_shape_and_range() -> None:
    eight_bit = input_spec(instances(10, (8, 8, 3)), "uint8")
    assert (eight_bit.minimum, eight_bit.maximum) == (0, 255)
    assert eight_bit.image is not None
    assert eight_bit.image.scale == 1
    unit = np.random.default_rng(0).random((10, 1, 8, 8)).astype(np.float32)
    spec = input_spec(unit, "float32")
    assert spec.image is not None
    assert (spec.image.mode, spec.image.layout) == ("L", "CHW")
    assert spec.image.scale == pytest.approx(1 / 255)
    assert spec.maximum == 1
    standardised = input_spec(unit - 0.5, "float32")
    assert standardised.image is None
    assert standardised.minimum is None
    assert input_spec(instances(10, (8,)), "uint8").image is None
