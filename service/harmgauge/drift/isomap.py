"""Isomap: reference features in two dimensions, and the positions of new features relative to them.

Tenenbaum, de Silva and Langford (Science 2000): distances are measured along the graph that joins each row to its
nearest neighbours, and the plane is chosen to preserve them best. It is fitted offline, by scikit-learn; placing a new
row needs only parts of the bundle: the features, their embedding and the number of neighbours.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harmgauge.drift.mmd import squared_distances

if TYPE_CHECKING:  # takes half a second: loaded when the plot is first requested rather than at every start
    from scipy.sparse import csr_array

Matrix = npt.NDArray[np.float64]

ROWS_AT_ONCE = 20
"""scipy's search holds the GIL; in pieces of this size other threads wait at most about 5 ms."""


_FLAT = 1e-12
"""An eigenvalue below this share of the largest is a rounding error of 0."""


def fit(features: npt.NDArray[np.float32]) -> tuple[Matrix, int]:
    """Compute the embedding (m, 2) of features (m, d), and the number of neighbours used: the fewest that connect all
    rows, at least 10.

    Requires scikit-learn: raises ImportError without it, ValueError if all rows are the same.
    """
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - offline only
    from sklearn.manifold import Isomap  # noqa: PLC0415 - offline only

    squares = squared_distances(features, features)
    if not squares.any():
        raise ValueError("all rows of the features are identical")
    neighbours = min(10, len(features) - 1)
    while connected_components(_graph(squares, neighbours), directed=False)[0] > 1:
        neighbours = min(2 * neighbours, len(features) - 1)
    embedding: Matrix = Isomap(n_neighbors=neighbours, n_components=2, eigen_solver="dense").fit_transform(
        features.astype(np.float64)
    )
    return embedding, neighbours


class Embedding:
    """Places new rows among `features` (m, d), whose `coordinates` (m, 2) come from Isomap with `neighbours`
    neighbours.
    """

    def __init__(self, features: npt.NDArray[np.float32], coordinates: Matrix, neighbours: int) -> None:
        self.coordinates = coordinates
        self._features = features
        self._neighbours = neighbours
        # The eigenvectors of the reference's kernel are the coordinates, its eigenvalues their squared lengths. If the
        # features have only one dimension, the second eigenvalue is 0, and so is every second coordinate.
        eigenvalues = (coordinates**2).sum(0)
        there = eigenvalues > _FLAT * eigenvalues.max()
        self._projection = np.where(there, coordinates / np.where(there, eigenvalues, 1), 0)

    @cached_property
    def _along(self) -> Matrix:
        """Distances (m, m) along the graph."""
        from scipy.sparse.csgraph import dijkstra  # noqa: PLC0415 - slow to load, seldom needed

        graph = _graph(squared_distances(self._features, self._features), self._neighbours)
        starts = range(0, len(self._features), ROWS_AT_ONCE)
        pieces = (np.arange(start, min(start + ROWS_AT_ONCE, len(self._features))) for start in starts)
        return np.concatenate([dijkstra(graph, directed=False, indices=rows) for rows in pieces])

    @cached_property
    def _mean_squares(self) -> Matrix:
        means: Matrix = (self._along**2).mean(0)
        return means

    def transform(self, rows: npt.NDArray[np.float32]) -> Matrix:
        """Coordinates (n, 2) of rows (n, d), equal to those of scikit-learn's `Isomap.transform`.

        The first call finds all shortest paths, in a fraction of a second. Call it from one thread at a time.
        """
        squares = squared_distances(rows, self._features)
        nearest = np.argpartition(squares, self._neighbours - 1, axis=1)[:, : self._neighbours]
        steps = np.sqrt(np.take_along_axis(squares, nearest, axis=1))
        distances = np.full(squares.shape, np.inf)
        for neighbour, step in zip(nearest.T, steps.T, strict=True):
            np.minimum(distances, self._along[neighbour] + step[:, None], out=distances)
        # The kernel is -1/2 of the squares, centred like the reference's.
        kernel = -0.5 * distances**2
        centred = kernel + 0.5 * self._mean_squares - kernel.mean(1, keepdims=True)
        placed: Matrix = centred @ self._projection
        return placed


def _graph(squares: Matrix, neighbours: int) -> csr_array:
    """The graph that joins each row to its nearest neighbours; `squares` (m, m) are the squared distances."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to load, seldom needed

    rows = len(squares)
    others = squares.copy()
    np.fill_diagonal(others, np.inf)
    nearest = np.argpartition(others, neighbours - 1, axis=1)[:, :neighbours]
    # A length of 0 would mean that there is no edge.
    lengths = np.maximum(np.sqrt(np.take_along_axis(squares, nearest, axis=1)), np.finfo(np.float64).tiny)
    ends = np.arange(0, rows * neighbours + 1, neighbours)
    return csr_array((lengths.ravel(), nearest.ravel(), ends), shape=(rows, rows))
