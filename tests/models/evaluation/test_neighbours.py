"""Distances to the nearest rows, compared with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from harmgauge_models.evaluation.neighbours import NEAREST, Neighbours


def test_distances_are_scikit_learns_of_the_standardised_rows() -> None:
    random = np.random.default_rng(0)
    reference, rows = (random.normal(size=(n, 5)).astype(np.float32) * [1, 10, 100, 1, 0] for n in (300, 700))
    low, middle, high = np.quantile(reference, (0.16, 0.5, 0.84), axis=0)
    spread = np.where(high > low, (high - low) / 2, 1)
    placed = [np.arcsinh((some - middle) / spread) for some in (reference, rows)]
    expected = NearestNeighbors(n_neighbors=NEAREST).fit(placed[0]).kneighbors(placed[1])[0].mean(1)
    found = Neighbours(reference.astype(np.float32), "inputs").distances(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_missing_values_are_a_distance_and_hide_no_other() -> None:
    random = np.random.default_rng(1)
    reference = random.normal(size=(200, 4)).astype(np.float32)
    reference[::20, 1] = np.nan
    rows = random.normal(size=(50, 2, 2)).astype(np.float32)
    near = Neighbours(reference, "inputs")
    far = rows.copy()
    far[:, 0, 0] = np.nan
    assert np.isfinite(near.distances(far)).all()
    assert near.distances(far).mean() > near.distances(rows).mean()
    assert near.distances(100 * rows).min() > near.distances(rows).max()


@pytest.mark.parametrize("rows", [1, 3])
def test_a_reference_of_few_rows_does(rows: int) -> None:
    near = Neighbours(np.zeros((rows, 2), np.float32), "features")
    assert near.distances(np.zeros((4, 2))).tolist() == [0, 0, 0, 0]
