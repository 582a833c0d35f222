"""Projecting rows to the plane, compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_swiss_roll
from sklearn.manifold import Isomap

from harmgauge.drift.isomap import Embedding, fit

SEED = 0


def roll(rows: int, seed: int = SEED) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    points: np.ndarray[tuple[int, int], np.dtype[np.float32]] = make_swiss_roll(rows, random_state=seed)[0].astype(
        np.float32
    )
    return points


def test_fit_and_place_are_scikit_learns() -> None:
    reference, recent = roll(300), roll(40, seed=1)
    coordinates, neighbours = fit(reference)
    assert neighbours == 10
    theirs = Isomap(n_neighbors=10, n_components=2, eigen_solver="dense").fit(reference.astype(np.float64))
    np.testing.assert_allclose(coordinates, theirs.embedding_, atol=1e-8)
    placed = Embedding(reference, coordinates, neighbours).transform(recent)
    np.testing.assert_allclose(placed, theirs.transform(recent.astype(np.float64)), atol=1e-6)


def test_reference_rows_lie_where_they_are() -> None:
    reference = roll(200)
    coordinates, neighbours = fit(reference)
    np.testing.assert_allclose(
        Embedding(reference, coordinates, neighbours).transform(reference), coordinates, atol=1e-6
    )


def test_clusters_far_apart_are_joined() -> None:
    """With ten neighbours they are not connected, and there is no path between them."""
    random = np.random.default_rng(SEED)
    reference = np.concatenate([random.normal(at, 0.1, (30, 4)) for at in (0, 100)]).astype(np.float32)
    coordinates, neighbours = fit(reference)
    assert neighbours > 10
    placed = Embedding(reference, coordinates, neighbours).transform(reference[:5] + np.float32(0.01))
    assert np.isfinite(placed).all()
    assert np.abs(placed - coordinates[:5]).max() < 5, "they are 100 apart"


def test_same_rows_again_and_again() -> None:
    reference = np.repeat(roll(20), 10, axis=0)
    coordinates, neighbours = fit(reference)
    assert np.isfinite(Embedding(reference, coordinates, neighbours).transform(reference)).all()
    with pytest.raises(ValueError, match="identical"):
        fit(np.ones((100, 3), np.float32))


@pytest.mark.parametrize("spread", [(1, 0, 0), (1, 2, -1)])
def test_features_of_one_dimension_lie_on_a_line(spread: tuple[int, ...]) -> None:
    along = np.random.default_rng(SEED).normal(size=(150, 1)).astype(np.float32)
    reference = along * np.array(spread, np.float32)
    coordinates, neighbours = fit(reference)
    placed = Embedding(reference, coordinates, neighbours).transform(reference[:20])
    np.testing.assert_allclose(placed[:, 0], coordinates[:20, 0], atol=1e-4)
    assert np.abs(placed[:, 1]).max() < 1e-3
