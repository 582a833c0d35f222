"""p-values of mixtures: uniform for clean traffic, falling with the share of other rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from harmgauge_models.evaluation.contamination import contamination_p_values


def normal(rows: int, mean: float = 0, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def p_values(share: float, seed: int = 0, mean: float = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    random = np.random.default_rng(seed)
    return contamination_p_values(normal(20_000), normal(20_000, seed=1), normal(5_000, mean, 2), share, random)


def test_clean_traffic_gives_uniform_p_values() -> None:
    assert kstest(p_values(0), "uniform").pvalue > 0.01


def test_strangers_lower_them_and_those_that_look_clean_do_not() -> None:
    means = [p_values(share).mean() for share in (0, 0.1, 0.2, 0.4)]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 1e-4
    assert p_values(0.9, mean=0).mean() == pytest.approx(0.5, abs=0.12)


def test_the_same_seed_gives_the_same_batches() -> None:
    np.testing.assert_array_equal(p_values(0.2, seed=4), p_values(0.2, seed=4))
    assert (p_values(0.2, seed=4) != p_values(0.2, seed=5)).any()


def test_all_of_one_group_is_drawn_once() -> None:
    clean, strangers = np.zeros(90), np.ones(10)
    found = contamination_p_values(np.zeros(1000), clean, strangers, 0.1, np.random.default_rng(0), batches=3)
    assert len(set(found.tolist())) == 1


def test_too_few_scores_and_impossible_shares_are_refused() -> None:
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="expected at least 1000 reference scores, got 999"):
        contamination_p_values(np.zeros(999), np.zeros(100), np.zeros(100), 0.5, random)
    with pytest.raises(ValueError, match="expected at least 10 contaminant scores, got 9"):
        contamination_p_values(np.zeros(1000), np.zeros(100), np.zeros(9), 0.1, random)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        contamination_p_values(np.zeros(1000), np.zeros(100), np.zeros(9), 1.5, random)
