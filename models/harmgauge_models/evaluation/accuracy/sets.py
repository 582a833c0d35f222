"""The sets of rows on which estimates of accuracy are judged, each made of rows that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harmgauge_models.evaluation.accuracy.judged import Float64, Judged, together
from harmgauge_models.evaluation.measure import CLEAN, Copy

CORRUPTED_SHARES = (0.25, 0.5, 0.75)
"""Of the diluted sets."""

PAIRS_PER_KIND = 4
"""So many sets of two kinds for each kind there is."""

SHIFTS = {"clean": 8, "corrupted": 32}
"""Sets with another mix of classes."""

LEAST_PART_ROWS, MOST_PARTS = 400, 4
"""Rows of a subset of the clean rows, at least, and how many subsets they are split into, at most."""

LABEL_SHIFT = "label_shift"
CLEAN_ROWS = ("clean", "all")
"""Group and name of the set of all clean rows."""

GROUPS = {
    "clean": "clean rows, and subsets of them",
    "single": "one corruption",
    "diluted": "one corruption in a part of the rows",
    "two_kinds": "two corruptions",
    "label_shift": "another mix of classes, clean and corrupted",
    "period": "periods",
}


@dataclass(frozen=True)
class RowSet:
    """Some rows, of one of GROUPS; `name` says which."""

    group: str
    name: str
    rows: Judged


def clean_sets(clean: Judged, columns: dict[str, Float64]) -> Iterator[RowSet]:
    """The clean rows, and parts of them from low to high by each of `columns`, numbers (m,) of each row."""
    yield RowSet(*CLEAN_ROWS, clean)
    parts = int(np.clip(len(clean) // LEAST_PART_ROWS, 0, MOST_PARTS))
    if parts < 2:
        return
    for name, values in columns.items():
        order = np.argsort(values, kind="stable")
        for number, rows in enumerate(np.array_split(order, parts), 1):
            yield RowSet("clean", f"{name}, part {number} of {parts}", clean.take(rows))


def single_sets(copies: dict[Copy, Judged]) -> Iterator[RowSet]:
    """Each corrupted copy."""
    for copy, rows in copies.items():
        if copy != CLEAN:
            yield RowSet("single", _name(copy), rows)


def diluted_sets(copies: dict[Copy, Judged], random: np.random.Generator) -> Iterator[RowSet]:
    """For each kind, at a random severity, each of CORRUPTED_SHARES; no row is in a set twice."""
    clean = copies[CLEAN]
    for own in _by_kind(copies).values():
        for share in CORRUPTED_SHARES:
            copy = own[int(random.integers(len(own)))]
            order, cut = random.permutation(len(clean)), round(share * len(clean))
            rows = together([copies[copy].take(order[:cut]), clean.take(order[cut:])])
            yield RowSet("diluted", f"{share:.0%} {_name(copy)}", rows)


def two_kinds_sets(copies: dict[Copy, Judged], random: np.random.Generator) -> Iterator[RowSet]:
    """Half of the rows of one kind and the rest of another, at random severities."""
    by_kind = _by_kind(copies)
    pairs = list(combinations(by_kind, 2))
    for index in random.permutation(len(pairs))[: PAIRS_PER_KIND * len(by_kind)].tolist():
        two = [by_kind[kind][int(random.integers(len(by_kind[kind])))] for kind in pairs[index]]
        order = random.permutation(len(copies[CLEAN]))
        halves = (order[: len(order) // 2], order[len(order) // 2 :])
        rows = together([copies[copy].take(half) for copy, half in zip(two, halves, strict=True)])
        yield RowSet("two_kinds", " and ".join(map(_name, two)), rows)


def label_shift_sets(copies: dict[Copy, Judged], classes: int, random: np.random.Generator) -> Iterator[RowSet]:
    """Rows drawn with replacement so that the classes have other shares, all mixes alike (Dirichlet(1))."""
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
