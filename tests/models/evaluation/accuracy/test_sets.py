"""The sets on which estimates are judged: the right rows in the right shares, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harmgauge_models.evaluation.accuracy import sets
from harmgauge_models.evaluation.accuracy.judged import Judged, together
from harmgauge_models.evaluation.measure import CLEAN, Copy
from tests.models.evaluation.accuracy.rows import CLASSES, judged

ROWS = 1000


@pytest.fixture(scope="module")
def copies() -> dict[Copy, Judged]:
    """Rows that show their origin: the score is the row, the fold is the copy."""
    names: list[Copy] = [CLEAN, ("fog", 1), ("fog", 5), ("snow", 3), ("mine", 0)]
    found = {}
    for number, copy in enumerate(names):
        rows = judged(ROWS, 0.1 * (number + 1), seed=number)
        found[copy] = replace(
            rows, scores=np.arange(ROWS) / 1, labels=np.arange(ROWS) % CLASSES, folds=np.full(ROWS, number)
        )
    return found


def test_clean_rows_are_split_by_each_column_from_low_to_high(copies: dict[Copy, Judged]) -> None:
    column = np.random.default_rng(0).permutation(ROWS).astype(float)
    whole, low, high = sets.clean_sets(copies[CLEAN], {"age": column})
    assert (whole.group, whole.name, len(whole.rows)) == ("clean", "all", ROWS)
    assert (low.name, high.name) == ("age, part 1 of 2", "age, part 2 of 2")
    assert column[low.rows.scores.astype(int)].max() < column[high.rows.scores.astype(int)].min()
    assert len(low.rows) + len(high.rows) == ROWS
    few = copies[CLEAN].take(np.arange(sets.LEAST_PART_ROWS))
    assert len(list(sets.clean_sets(few, {"age": column[: len(few)]}))) == 1


def test_every_corrupted_copy_is_a_set(copies: dict[Copy, Judged]) -> None:
    found = list(sets.single_sets(copies))
    assert [one.name for one in found] == ["fog-1", "fog-5", "snow-3", "mine"]
    assert found[0].rows.accuracy == copies["fog", 1].accuracy


def test_mixtures_hold_each_row_once_in_the_shares_that_they_name(copies: dict[Copy, Judged]) -> None:
    diluted = list(sets.diluted_sets(copies, np.random.default_rng(0)))
    assert len(diluted) == 3 * len(sets.CORRUPTED_SHARES)
    for one, share in zip(diluted, sets.CORRUPTED_SHARES * 3, strict=True):
        assert one.name.startswith(f"{share:.0%} ")
        assert np.mean(one.rows.folds != 0) == pytest.approx(share)
        assert sorted(one.rows.scores) == list(range(ROWS))
    pairs = list(sets.two_kinds_sets(copies, np.random.default_rng(0)))
    assert len(pairs) == 3, "three kinds make three pairs"
    for one in pairs:
        assert len(set(one.rows.folds)) == 2
        assert 0 not in one.rows.folds
        assert sorted(one.rows.scores) == list(range(ROWS))


def test_label_shift_changes_the_classes_and_nothing_else(copies: dict[Copy, Judged]) -> None:
    found = list(sets.label_shift_sets(copies, CLASSES, np.random.default_rng(0)))
    assert len(found) == sum(sets.SHIFTS.values())
    shares = np.array([np.bincount(one.rows.labels, minlength=CLASSES) / ROWS for one in found])
    assert np.abs(shares - 1 / CLASSES).max(1).mean() > 0.1
    assert all((one.rows.folds == 0).all() for one in found[: sets.SHIFTS["clean"]])
    again = list(sets.label_shift_sets(copies, CLASSES, np.random.default_rng(0)))
    assert [one.rows.accuracy for one in found] == [one.rows.accuracy for one in again]


def test_a_class_without_rows_gets_none(copies: dict[Copy, Judged]) -> None:
    for one in sets.label_shift_sets({CLEAN: copies[CLEAN]}, CLASSES + 2, np.random.default_rng(0)):
        assert one.rows.labels.max() < CLASSES


def test_rows_put_together_keep_their_order_and_probabilities_only_if_all_have_them() -> None:
    one, two = judged(5, probabilities=True), judged(7, seed=1, probabilities=True)
    both = together([one, two])
    assert both.probabilities is not None
    assert both.probabilities.shape == (12, CLASSES)
    assert both.right.tolist() == [*one.right, *two.right]
    assert together([one, judged(3)]).probabilities is None
