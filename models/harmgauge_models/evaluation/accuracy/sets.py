"""The sets of rows on which accuracy estimates are judged, made from measured rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harmgauge_models.evaluation.accuracy.judged import Float64, Judged, together
from harmgauge_models.evaluation.measure import CLEAN, Copy

CORRUPTED_SHARES = (0.25, 0.5, 0.75)
"""Shares of corrupted rows in the diluted sets."""

PAIRS_PER_KIND = 4
"""Number of sets of two kinds, for each kind."""

SHIFTS = {"clean": 8, "corrupted": 32}
"""Number of sets with another mix of classes, by the rows that they are drawn from."""

LEAST_PART_ROWS, MOST_PARTS = 400, 4
"""Minimum rows in a subset of the clean rows, and maximum number of subsets by one column."""

LABEL_SHIFT = "label_shift"
CLEAN_ROWS = ("clean", "all")
"""Group and name of the set of all clean rows."""

GROUPS = {
    "clean": "clean rows and subsets of them",
    "single": "one corruption",
    "diluted": "one corruption in part of the rows",
    "two_kinds": "two corruptions",
    "label_shift": "another mix of classes, clean and corrupted",
    "period": "periods",
}


@dataclass(frozen=True)
class RowSet:
    """A set of rows; `group` is one of GROUPS, `name` identifies the set in its group."""

    group: str
    name: str
    rows: Judged


def clean_sets(clean: Judged, columns: dict[str, Float64]) -> Iterator[RowSet]:
    """The clean rows, and parts of them in ascending order of each of `columns`, (m,) each."""
    yield RowSet(*CLEAN_ROWS, clean)
    parts = int(np.clip(len(clean) // LEAST_PART_ROWS, 0, MOST_PARTS))
    if parts < 2:
        return
    for name, values in columns.items():
        order = np.argsort(values, kind="stable")
        for number, rows in enumerate(np.array_split(order, parts), 1):
            yield RowSet("clean", f"{name}, part {number} of {parts}", clean.take(rows))


def single_sets(copies: dict[Copy, Judged]) -> Iterator[RowSet]:
    """A set for each corrupted copy."""
    for copy, rows in copies.items():
        if copy != CLEAN:
            yield RowSet("single", _name(copy), rows)


def diluted_sets(copies: dict[Copy, Judged], random: np.random.Generator) -> Iterator[RowSet]:
    """For each kind, at random severities, a set for each of CORRUPTED_SHARES; no row occurs twice in a set."""
    clean = copies[CLEAN]
    for own in _by_kind(copies).values():
        for share in CORRUPTED_SHARES:
            copy = own[int(random.integers(len(own)))]
            order, cut = random.permutation(len(clean)), round(share * len(clean))
            rows = together([copies[copy].take(order[:cut]), clean.take(order[cut:])])
            yield RowSet("diluted", f"{share:.0%} {_name(copy)}", rows)


def two_kinds_sets(copies: dict[Copy, Judged], random: np.random.Generator) -> Iterator[RowSet]:
    """Half of the rows with one kind of corruption and the rest with another, at random severities."""
    by_kind = _by_kind(copies)
    pairs = list(combinations(by_kind, 2))
    for index in random.permutation(len(pairs))[: PAIRS_PER_KIND * len(by_kind)].tolist():
        two = [by_kind[kind][int(random.integers(len(by_kind[kind])))] for kind in pairs[index]]
        order = random.permutation(len(copies[CLEAN]))
        halves = (order[: len(order) // 2], order[len(order) // 2 :])
        rows = together([copies[copy].take(half) for copy, half in zip(two, halves, strict=True)])
        yield RowSet("two_kinds", " and ".join(map(_name, two)), rows)


def label_shift_sets(copies: dict[Copy, Judged], classes: int, random: np.random.Generator) -> Iterator[RowSet]:
    """Rows drawn with replacement so that the classes have different shares, uniformly distributed (Dirichlet(1))."""
    corrupted = [copy for copy in copies if copy != CLEAN]
    chosen = [CLEAN] * SHIFTS["clean"]
    if corrupted:
        chosen += [corrupted[int(random.integers(len(corrupted)))] for _ in range(SHIFTS["corrupted"])]
    counts = np.bincount(copies[CLEAN].labels, minlength=classes)
    for number, copy in enumerate(chosen, 1):
        wanted = random.dirichlet(np.ones(classes)) * (counts > 0)
        weights = (wanted / np.maximum(counts, 1))[copies[copy].labels]
        rows = random.choice(len(copies[copy]), len(copies[copy]), p=weights / weights.sum())
        yield RowSet(LABEL_SHIFT, f"mix {number} of {_name(copy)}", copies[copy].take(rows))


def _by_kind(copies: dict[Copy, Judged]) -> dict[str, list[Copy]]:
    found: dict[str, list[Copy]] = {}
    for copy in copies:
        if copy != CLEAN:
            found.setdefault(copy[0], []).append(copy)
    return found


def _name(copy: Copy) -> str:
    kind, severity = copy
    return f"{kind}-{severity}" if severity else kind
