"""The saved state of columns: their bets, and which of them are named."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harmgauge.drift import dumped as read
from harmgauge.drift.columns.bets import MOST, Bets
from harmgauge.drift.dumped import Dumped

_SLACK = 1 + 1e-6


@dataclass(frozen=True)
class Marks:
    """Marks of columns (c + 1,): whether each is named, the start of its state in seconds since 1970, the peak of its
    evidence, and, if it is named, the variable that changed most and whether its values became higher.
    """

    is_named: npt.NDArray[np.bool_]
    since: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]
    cause: npt.NDArray[np.int64]
    is_higher: npt.NDArray[np.bool_]

    @classmethod
    def start(cls, columns: int, now_seconds: float) -> Self:
        """No column is named."""
        return cls(
            np.zeros(columns, bool),
            np.full(columns, now_seconds),
            np.zeros(columns),
            np.zeros(columns, np.int64),
            np.zeros(columns, bool),
        )

    def copy(self) -> Self:
        return type(self)(**{each.name: getattr(self, each.name).copy() for each in fields(self)})

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of all arrays."""
        return dict(vars(self.copy()))

    @classmethod
    def read(cls, dumped: Dumped, columns: int, variables: int) -> Self:
        """Read what `dump` saved. Raises ValueError."""
        cause = _array(dumped, "cause", np.int64, columns)
        if not ((cause >= 0) & (cause < variables)).all():
            raise ValueError(f"cause contains numbers that are not one of {variables} variables")
        return cls(
            is_named=_array(dumped, "is_named", np.bool_, columns).copy(),
            since=read.within(dumped, "since", (columns,), 0, read.LATEST_SECONDS).copy(),
            highest=read.within(dumped, "highest", (columns,), 0, MOST * _SLACK).copy(),
            cause=cause.copy(),
            is_higher=_array(dumped, "is_higher", np.bool_, columns).copy(),
        )


def dump_bets(bets: Bets) -> dict[str, npt.NDArray[Any]]:
    """Copies of the bets' arrays."""
    return {"wealth": bets.wealth.astype(np.float64), "sums": bets.counts.copy(), "urn_rows": bets.rows.copy()}


def read_rows(dumped: Dumped) -> int:
    """The rows since the last acknowledgement. Raises ValueError."""
    return read.whole(dumped, "rows", 0, read.MOST_ROWS // 2)


def read_bets(dumped: Dumped, fresh: Bets, rows: int) -> Bets:
    """Read what `dump_bets` saved after at most `rows` rows, for bets that began like `fresh`. Raises ValueError."""
    urn = read.within(dumped, "urn_rows", fresh.rows.shape, fresh.rows, fresh.rows + rows)
    added = (urn - fresh.rows)[fresh.half_lines.variables]
    counts = read.within(dumped, "sums", fresh.counts.shape, fresh.counts, fresh.counts + added)
    wealth = read.within(dumped, "wealth", fresh.wealth.shape, 0, MOST * _SLACK)
    if wealth[:, added == 0].any():
        raise ValueError("wealth contains wealth without a row")
    return Bets(fresh.half_lines, wealth.astype(np.float32), counts.copy(), urn.copy())


def _array(dumped: Dumped, key: str, dtype: npt.DTypeLike, columns: int) -> npt.NDArray[Any]:
    array = np.asarray(dumped[key]) if key in dumped else None
    if array is None or array.dtype != dtype or array.shape != (columns,):
        raise ValueError(f"{key} is missing, or not {np.dtype(dtype)} ({columns},)")
    return array
