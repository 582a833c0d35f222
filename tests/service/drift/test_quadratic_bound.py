"""Upper bounds of quadratic forms: never below the exact value, and close to it for smooth kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.drift.quadratic_bound import RANK, Matrix, QuadraticBound


def exact(kernel: Matrix, vectors: Matrix) -> Matrix:
    forms: Matrix = (vectors * (kernel @ vectors)).sum(0)
    return forms


@given(st.integers(1, 3 * RANK), st.integers(0, 10**6), st.sampled_from(["flags", "numbers"]), st.floats(-6, 6))
def test_is_never_below(rows: int, seed: int, kind: str, exponent: float) -> None:
    """For any symmetric matrix, definite or not, and any vectors; also if the basis spans all of them."""
    random = np.random.default_rng(seed)
    kernel = random.normal(size=(rows, rows)) * 10.0**exponent
    kernel = kernel + kernel.T
    vectors = random.integers(0, 2, (rows, 5)) / 1 if kind == "flags" else random.normal(size=(rows, 5))
    assert (QuadraticBound(kernel)(vectors) >= exact(kernel, vectors)).all()


def test_the_worst_vector_is_below() -> None:
    """The bound must hold for the vector outside the basis on which the rest of the matrix is largest."""
    rows = 3 * RANK
    kernel = np.diag(np.linspace(1, 2, rows))
    assert (QuadraticBound(kernel)(np.eye(rows)) >= exact(kernel, np.eye(rows))).all()


@pytest.mark.parametrize("width", [2, 6])
def test_is_close_for_smooth_kernels(width: int) -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(600, width))
    squares = ((points[:, None] - points) ** 2).sum(2)
    kernel = np.exp(-squares / (2 * np.median(squares)))
    vectors = np.zeros((600, 20))
    for column in vectors.T:
        column[random.choice(600, 200, replace=False)] = 1
    gap = QuadraticBound(kernel)(vectors) / exact(kernel, vectors) - 1
    assert (gap >= 0).all()
    assert gap.max() < (1e-3 if width == 2 else 2e-2)


def test_a_matrix_of_zeros() -> None:
    assert (QuadraticBound(np.zeros((100, 100)))(np.ones((100, 3))) == 0).all()
