"""Attacks on a linear classifier, whose nearest misclassified instance is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge_models.evaluation.attacks import (
    ATTACKS,
    Attack,
    attack,
    auto_pgd,
    carlini_wagner,
    fast_gradient_sign,
    projected_gradient_descent,
    slide,
    square,
)
from harmgauge_models.evaluation.whitebox import on_both
from harmgauge_models.graphs.differentiable import open_watched
from tests.support.toy import instances, toy_autoencoder_bundle

BOUNDS = (0.0, 255.0)


class Halves(nn.Module):
    """Two classes of (n, 4) instances in 0..255: is the first number above 127.5, with a slope that saturates."""

    def forward(self, x: Tensor) -> Tensor:
        z = (x[:, 0] - 127.5) / 10
        return torch.stack([-z, z], 1)


def rows(*first: float) -> tuple[Array, Array]:
    x = np.full((len(first), 4), 100, np.uint8)
    x[:, 0] = first
    return x, (x[:, 0] > 127.5).astype(np.int64)


def test_carlini_wagner_finds_the_nearest_wrong_instance() -> None:
    x, y = rows(110, 120, 126, 130, 150)
    found = attack(carlini_wagner(searches=9, steps=300), Halves(), x, y, bounds=BOUNDS)
    assert found.fooled.all()
    np.testing.assert_allclose(found.x[:, 0], 127.5, atol=1.0)
    np.testing.assert_allclose(found.x[:, 1:], 100, atol=0.5)


def test_what_carlini_wagner_finds_nothing_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(1) * 0 + 1, x.sum(1) * 0], 1)

    x = instances(3, (4,))
    found = attack(carlini_wagner(searches=2, steps=5), Constant(), x, np.zeros(3, np.int64), bounds=BOUNDS)
    assert not found.fooled.any()
    np.testing.assert_allclose(found.x, x, atol=1e-3)


def test_slide_takes_the_first_size_that_fools() -> None:
    x, y = rows(100, 124, 127)
    found = attack(slide(sizes=(1 / 255, 8 / 255, 64 / 255)), Halves(), x, y, bounds=BOUNDS)
    assert found.fooled.all()
    distances = np.abs(found.x - x).sum(1)
    slack = 1.25  # Foolbox's projection overshoots in so few dimensions
    assert distances[2] <= 1 * slack
    assert 1 < distances[1] <= 8 * slack
    assert 8 < distances[0] <= 64 * slack
    unreached = attack(slide(sizes=(1 / 255,)), Halves(), *rows(50), bounds=BOUNDS)
    assert not unreached.fooled.any()


def test_the_signs_methods_keep_to_their_size_and_the_range() -> None:
    x, y = rows(120, 90, 3)
    x[2, 1:] = 0
    for way in (fast_gradient_sign(10 / 255), projected_gradient_descent(10 / 255)):
        found = attack(way, Halves(), x, y, bounds=BOUNDS)
        assert found.fooled.tolist() == [True, False, False]
        assert np.abs(found.x - x).max() <= 10.01
        assert found.x.min() >= 0
        np.testing.assert_allclose(found.x[:2, 0], [130, 100], atol=0.5)


def test_what_is_wrong_already_is_left_alone() -> None:
    x, y = rows(120, 140)
    for name in ATTACKS.keys() - {"square"}:  # which is for pictures
        found = attack(ATTACKS[name](), Halves(), x, 1 - y, bounds=BOUNDS)
        assert found.fooled.all(), name
        np.testing.assert_array_equal(found.x, x, err_msg=name)


def test_a_seed_repeats_itself() -> None:
    x, y = rows(*range(100, 140, 4))
    ways = [projected_gradient_descent(5 / 255, steps=3) for _ in range(3)]
    first, again, other = (
        attack(way, Halves(), x, y, bounds=BOUNDS, seed=seed).x for way, seed in zip(ways, (1, 1, 2), strict=True)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_who_knows_the_detector_fools_it_better_than_who_does_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = load(toy_autoencoder_bundle(tmp_path_factory.mktemp("bundle")))
    x = instances(100, (4, 4, 3), seed=7)
    watched = open_watched(bundle.graph, x)
    with torch.no_grad():
        y = watched.classifier(torch.from_numpy(x)).argmax(1).numpy()
    size = 60 / 255
    knows = on_both(watched.score, bounds=BOUNDS, size=size, weight=5.0)
    both = attack(knows, watched.classifier, x, y, bounds=BOUNDS)
    alone = attack(projected_gradient_descent(size, steps=40), watched.classifier, x, y, bounds=BOUNDS)
    with torch.no_grad():
        scores = [watched.score(torch.from_numpy(found.x)).numpy() for found in (both, alone)]
    assert both.fooled.mean() > 0.8
    assert np.abs(both.x - x).max() <= 60.01
    assert np.median(scores[0][both.fooled]) < 0.5 * np.median(scores[1][alone.fooled])


class Brightness(nn.Module):
    """Two classes of pictures (n, 4, 4, 3) in 0..255: is the mean above 127.5?"""

    def forward(self, x: Tensor) -> Tensor:
        z = (x.flatten(1).mean(1) - 127.5) / 10
        return torch.stack([-z, z], 1)


@pytest.mark.parametrize("way", [auto_pgd, square])
def test_attacks_of_the_toolbox_keep_to_their_size_and_the_range(way: Callable[[float], Attack]) -> None:
    x = np.full((3, 4, 4, 3), 120, np.uint8)
    x[1], x[2] = 60, 126
    x[2, 0, 0] = 0
    y = np.array([0, 0, 0])
    found = attack(way(30 / 255), Brightness(), x, y, bounds=BOUNDS, seed=3)
    assert found.fooled.tolist() == [True, False, True]
    assert np.abs(found.x - x).max() <= 30.01
    assert found.x.min() >= 0
    again = attack(way(30 / 255), Brightness(), x, y, bounds=BOUNDS, seed=3)
    np.testing.assert_array_equal(again.x, found.x)
