"""`attack`: instances of a bundle, changed until its classifier is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harmgauge import Bundle, Scorer, load_bundle
from harmgauge_models import attack
from harmgauge_models.errors import UserError
from tests.support.toy import instances, toy_bundle

ROWS = 40


@pytest.fixture(scope="module")
def bundle(image_bundle_path: Path) -> Bundle:
    return load_bundle(image_bundle_path)


@pytest.fixture(scope="module")
def x() -> npt.NDArray[Any]:
    return instances(ROWS, (4, 4, 3), seed=3)


@pytest.fixture(scope="module")
def y(bundle: Bundle, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The classifier's answers, every eighth of them wrong."""
    found = Scorer(bundle).score(x).predictions
    found[::8] = (found[::8] + 1) % 3
    return found


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_it_fools_within_the_size_and_leaves_wrong_rows_alone(
    bundle: Bundle, x: npt.NDArray[Any], y: npt.NDArray[np.int64], name: str
) -> None:
    accuracies = []
    for size in (2, 8, 32):
        attacked = attack(name, bundle, x, y, size=size / 255)
        assert attacked.dtype == np.uint8
        assert 0 < np.abs(attacked.astype(int) - x).max() <= size
        np.testing.assert_array_equal(attacked[::8], x[::8])
        accuracies.append((Scorer(bundle).score(attacked).predictions == y).mean())
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1]
    np.testing.assert_array_equal(attack(name, bundle, x, y), attack(name, bundle, x, y, size=8 / 255))


@pytest.mark.parametrize("name", ["cw", "slide"])
def test_the_others_search_for_the_size(
    bundle: Bundle, x: npt.NDArray[Any], y: npt.NDArray[np.int64], name: str
) -> None:
    attacked = attack(name, bundle, x, y)
    assert (Scorer(bundle).score(attacked).predictions == y).mean() < 0.8
    with pytest.raises(ValueError, match=f"{name} has its own size"):
        attack(name, bundle, x, y, size=0.1)


def test_the_same_seed_gives_the_same_instances(bundle: Bundle, x: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> None:
    once, again, otherwise = (attack("pgd", bundle, x, y, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != otherwise).any()


def test_what_does_not_fit_is_refused(bundle: Bundle, x: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="unknown attack 'white-box': expected one of cw, slide, fgsm, pgd"):
        attack("white-box", bundle, x, y)
    for rows, labels in ((x[:, :3], y), (x.astype(np.float32), y), (x, y[1:]), (x[:0], y[:0])):
        with pytest.raises(ValueError, match=r"expected uint8 x \(n, 4, 4, 3\) and y \(n,\), n >= 1, got"):
            attack("fgsm", bundle, rows, labels)


def test_real_numbers_stay_real_and_need_a_range(tmp_path: Path) -> None:
    bundle = load_bundle(toy_bundle(tmp_path, shape=(5,), dtype="float32", loss="xent"))
    rows = instances(20, (5,), "float32")
    y = Scorer(bundle).score(rows).predictions
    assert bundle.manifest.input.minimum is None
    with pytest.raises(UserError, match="declares no range of values"):
        attack("fgsm", bundle, rows, y)
