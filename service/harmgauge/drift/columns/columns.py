"""Monitors every column of a table, and the predicted class: which of them changed, and how.

A column is named, until it is acknowledged, once its own evidence reaches c, the number of columns times the number of
rows between false alarms. Every row is bet on in each column. So while nothing changes, on average at most one column
is wrongly named in that number of rows, however the columns depend on each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import ColumnValues, rows_read
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.sketches import Sketches
from harmgauge.drift.columns import saved
from harmgauge.drift.columns.bets import Bets
from harmgauge.drift.columns.recent import Recent
from harmgauge.drift.columns.variables import Variables
from harmgauge.drift.columns.view import View
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.recent_clients import RecentClients
from harmgauge.drift.state import Blocks
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

Float64 = npt.NDArray[np.float64]


def from_bundle(bundle: Bundle, settings: Settings, *, seed: int | None = None) -> Columns | None:
    """The monitor of a bundle's columns; None if the bundle has no sketches of them."""
    if bundle.sketches is None:
        return None
    return Columns(
        bundle.sketches,
        ColumnValues(RowColumns(bundle.manifest.served), bundle.sketches),
        bundle.manifest.class_names,
        rows_between_false_alarms=(
            settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms
        ),
        tolerance=settings.tolerance,
        seed=seed,
    )


class Columns:
    """The rows of a request are one block; a named client counts once among recent requests.

    `values` reads the columns of the sketches from a request's rows, at most 256 of them; `tolerance` is the share of
    the traffic that may be arbitrary.
    """

    def __init__(
        self,
        sketches: Sketches,
        values: ColumnValues,
        class_names: tuple[str, ...],
        *,
        rows_between_false_alarms: int,
        tolerance: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seed: int | None = None,
    ) -> None:
        self.values = values
        self._sketches = sketches
        self._class_names = class_names
        self._variables = Variables(sketches)
        self._threshold = rows_between_false_alarms * int(self._variables.is_monitored.sum())
        self._tolerance = tolerance
        self._now = now
        self._random = np.random.default_rng(seed)
        self._clients = RecentClients()
        self._version = 0
        # Since this was created, for counters, which must never decrease.
        self._missing = np.zeros(len(sketches.positions), np.int64)
        self._out_of_range = np.zeros(len(sketches.numbers), np.int64)
        self.reset()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, the predicted class last, (c + 1,)."""
        return self.values.names

    @property
    def version(self) -> int:
        """Changes with every row and every reset."""
        return self._version

    def reset(self) -> None:
        """Acknowledge all columns: their evidence is zero again, and the urns have only the reference."""
        columns = len(self.names)
        self._bets = self._fresh()
        self._recent = Recent(columns)
        self._rows = 0
        self._marks = saved.Marks.start(columns, self._now().timestamp())
        self._version += 1

    def _fresh(self) -> Bets:
        return Bets.start(self._sketches.number_bounds, self._sketches.flag_bounds)

    def observe(self, blocks: Blocks) -> None:
        """Bet on the rows of these requests."""
        if blocks.values is None:
            return
        self._count(blocks.values)
        blocks = self._clients.once_each(blocks)
        values, rows = blocks.values, rows_read(blocks.rows)
        if not len(rows) or values is None:
            return
        self._bets.bet(self._variables.values(values), rows, self._tolerance, self._random)
        self._recent.extend(values)
        self._rows += len(values)
        self._version += 1
        self._name()

    def _count(self, values: Float64) -> None:
        numbers, (least, most) = self._variables.numbers(values), self._sketches.ranges.T
        # NaN passes through a minimum.
        lowest, highest = np.minimum.reduce(values), np.maximum.reduce(numbers)
        if np.isnan(lowest).any():
            self._missing += _counts(np.isnan(values[:, :-1]))
            lowest, highest = np.fmin.reduce(values), np.fmax.reduce(numbers)
        # Clean traffic has few columns with such values.
        at = np.flatnonzero((lowest[self._sketches.numbers] < least) | (highest > most))
        if len(at):
            some = numbers[:, at]
            self._out_of_range[at] += _counts((some < least[at]) | (some > most[at]))

    def _name(self) -> None:
        """Name the columns whose evidence suffices now."""
        variables = self._bets.evidence
        evidence, marks = self._variables.evidence(variables), self._marks
        np.maximum(marks.highest, evidence, out=marks.highest)
        new = np.flatnonzero((evidence >= self._threshold) & ~marks.is_named)
        for column in new.tolist():
            variable = self._variables.strongest(column, variables)
            marks.is_named[column] = True
            marks.since[column] = self._now().timestamp()
            marks.cause[column] = variable
            marks.is_higher[column] = self._is_higher(variable)
        if len(new):
            view = self.view()
            for column in new[np.argsort(-evidence[new])].tolist():
                state = view.state(column)
                log.warning("a column is drifting %s; evidence %.3g", state.sentence, state.evidence)

    def _is_higher(self, variable: int) -> bool:
        """Whether this variable's values became higher: whether the gamblers on its upper side have more wealth."""
        upper, lower = self._bets.half_lines.means(self._bets.wealth)
        return bool(upper[variable] >= lower[variable])

    def view(self) -> View:
        """The state of all columns at this moment."""
        evidence = self._variables.evidence(self._bets.evidence)
        return View(
            sketches=self._sketches,
            names=self.names,
            kinds=self.values.kinds,
            class_names=self._class_names,
            threshold=self._threshold,
            rows=self._rows,
            is_monitored=self._variables.is_monitored,
            evidence=evidence,
            marks=self._marks.copy(),
            recent=self._recent.rows(),
            missing=self._missing.copy(),
            out_of_range=self._out_of_range.copy(),
        )

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the whole state."""
        return {
            **saved.dump_bets(self._bets),
            **self._marks.dump(),
            "recent": self._recent.rows(),
            "rows": np.array(self._rows),
            "clients": self._clients.dump(),
        }

    def restore(self, dumped: Dumped) -> None:
        """Resume from a dump. Raises ValueError, and changes nothing, if it is not valid."""
        rows = saved.read_rows(dumped)
        bets = saved.read_bets(dumped, self._fresh(), rows)
        marks = saved.Marks.read(dumped, len(self.names), len(self._sketches.numbers) + len(self._sketches.flags))
        recent = Recent.read(dumped, len(self.names))
        self._clients = RecentClients.read(dumped, "clients")
        self._bets, self._marks, self._recent, self._rows = bets, marks, recent, rows
        self._version += 1


def _counts(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many rows (n, c) have each flag, (c,)."""
    # A product takes a tenth of the time of a sum over bools.
    return (np.ones(len(flags), np.float32) @ flags.astype(np.float32)).astype(np.int64)
