"""The saved state of sources: their columns, and their names in plain text, because they are listed by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.drift import dumped as read
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.sources import baseline
from harmgauge.drift.sources.columns import Columns
from harmgauge.drift.sources.runs import MOST
from harmgauge.inference.caller import Name

_DERIVED = frozenset({"change", "harm", "bounds", "independent"})
"""Follow from the other columns."""

_NAME = re.compile(r"([A-Za-z0-9._-]{0,64}) ([!-~]{1,128})")

_SLACK = 1 + 1e-5
"""Of float32."""

_MOST_SUM = 1e9
"""Above all sums of a baseline: it ends once it is worth `baseline.ROWS` rows, of weight MOST_WEIGHT or less."""


@dataclass(frozen=True)
class Saved:
    """Sources as they were saved: their names, the columns by name, and what the bets were against."""

    names: list[Name]
    columns: dict[str, npt.NDArray[Any]]
    tolerance: float
    bound: float | None


def dump(names: list[Name], columns: Columns, tolerance: float, bound: float | None) -> dict[str, npt.NDArray[Any]]:
    """Copies of everything. `bound` is the largest harmless mean of P(wrong), None without an alarm on harm."""
    text = "\n".join(f"{key} {own}" for key, own in names).encode()
    arrays = {name: array[: len(names)].copy() for name, array in columns.all().items() if name not in _DERIVED}
    return arrays | {
        "names": np.frombuffer(text, np.uint8),
        "tolerance": np.array(tolerance),
        "bound": np.array(1.0 if bound is None else bound),
    }


def load(dumped: Dumped) -> Saved:
    """Read what `dump` saved, and validate it. Raises ValueError."""
    names = _names(read.rows(dumped, "names", np.uint8, ()))
    like = Columns.empty(len(names)).all()
    found = {name: _column(dumped, name, array) for name, array in like.items() if name not in _DERIVED}
    tolerance, bound = read.number(dumped, "tolerance", 0, 1), read.number(dumped, "bound", 0, 1)
    if not (found["rows"] >= 1).all():
        raise ValueError("rows contains a source without a row")
    if not (found["hits"] <= found["weight"][:, None] * _SLACK).all():
        raise ValueError("hits contains more rows than there are")
    settled = found["is_settled"]
    if not (found["weight"][settled] >= baseline.ROWS / _SLACK).all() or found["wealth"][~settled].any():
        raise ValueError("is_settled does not agree with the baselines")
    return Saved(names, found, tolerance, None if bound == 1 else bound)


def restored(saved: Saved, most: int, tolerance: float, bound: float | None) -> tuple[list[Name], Columns]:
    """The sources to continue with, at most `most`: those that are named, and then those seen last.

    Evidence against another tolerance or another bound does not count against these, and is discarded.
    """
    kept = np.lexsort((-saved.columns["seen"], ~saved.columns["is_named"]))[:most]
    columns = Columns.empty(len(kept))
    for name, array in saved.columns.items():
        columns.all()[name][:] = array[kept]
    baseline.settle(columns, np.flatnonzero(columns.is_settled), tolerance)
    if saved.tolerance != tolerance:
        columns.wealth[:] = 0
    if saved.bound != bound:
        columns.harm_wealth[:] = 0
    return [saved.names[number] for number in kept.tolist()], columns


def _names(text: npt.NDArray[np.uint8]) -> list[Name]:
    lines = text.tobytes().decode("latin-1").split("\n") if len(text) else []
    found: list[Name] = []
    for line in lines:
        match = _NAME.fullmatch(line)
        if match is None:
            raise ValueError("names contains something that is not the name of a source")
        found.append((match[1], match[2]))
    if len(set(found)) < len(found):
        raise ValueError("names contains the same source twice")
    return found


def _column(dumped: Dumped, key: str, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Read a column with the shape and dtype of `like`, with numbers that it can have contained."""
    array = np.asarray(dumped[key]) if key in dumped else None
    if array is None or array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"{key} is missing, or not {like.dtype} {like.shape}")
    most = {
        "wealth": MOST, "harm_wealth": MOST, "highest": MOST, "rows": read.MOST_ROWS, "errors": 1.0,
        "errors_weight": 1.0, "since": read.LATEST_SECONDS, "seen": read.LATEST_SECONDS,
    }.get(key, _MOST_SUM)  # fmt: skip
    if array.dtype != bool and not ((array >= 0) & (array <= most * _SLACK)).all():
        raise ValueError(f"{key} contains numbers that are too small or too large")
    return array
