"""Monitors every column of a table, measures of pictures, and the predicted class: which of them changed, and how.

A column is named, until it is acknowledged, once its own evidence reaches c, the number of columns times the number of
rows between false alarms. Every row is bet on in each column. So while nothing changes, on average at most one column
is wrongly named in that number of rows, however the columns depend on each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import ColumnValues, rows_read
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.sketches import Sketches
from harmgauge.drift.columns import saved
from harmgauge.drift.columns.group import Group
from harmgauge.drift.columns.variables import Variables
from harmgauge.drift.columns.view import View
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name
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
    the traffic that may be arbitrary. Measures are only of a sample of the pictures, and arrive later.
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
        is_measure = np.isin(sketches.numbers, values.measures)
        numbers, measures = np.flatnonzero(~is_measure), np.flatnonzero(is_measure)
        flags, columns = np.arange(len(sketches.flags)), len(self.names)
        self._answered = Group(sketches, numbers, flags, columns)
        self._measured = Group(sketches, measures, flags[:0], columns, "measured_") if len(measures) else None
        self._version = 0
        self.resets = 0
        """Changes with every reset."""
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

    @property
    def _groups(self) -> list[Group]:
        return [self._answered] if self._measured is None else [self._answered, self._measured]

    def reset(self) -> None:
        """Acknowledge all columns: their evidence is zero again, and the urns have only the reference."""
        for group in self._groups:
            group.reset()
        self._marks = saved.Marks.start(len(self.names), self._now().timestamp())
        self._version += 1
        self.resets += 1

    def observe(self, blocks: Blocks) -> None:
        """Bet on the rows of these requests, without measures."""
        if blocks.values is None:
            return
        if self.values.reads_rows:
            self._count(blocks.values)
        blocks = self._answered.clients.once_each(blocks)
        if blocks.values is not None:
            self._bet(self._answered, blocks.values, rows_read(blocks.rows))

    def observe_measures(self, values: Float64, clients: Sequence[Name | None]) -> None:
        """Bet on the measures of pictures (n, c + 1), each of another request, with the name of its client."""
        assert self._measured is not None
        self._count(values, counts_missing=False)
        blocks = Blocks(np.zeros(len(values)), np.ones(len(values), np.intp), tuple(clients), values=values)
        blocks = self._measured.clients.once_each(blocks)
        if blocks.values is not None:
            self._bet(self._measured, blocks.values, blocks.rows)

    def _bet(self, group: Group, values: Float64, rows: npt.NDArray[np.intp]) -> None:
        if len(rows):
            group.bet(values, self._variables.values(values), rows, self._tolerance, self._random)
            self._version += 1
            self._name()

    def _count(self, values: Float64, *, counts_missing: bool = True) -> None:
        numbers, (least, most) = self._variables.numbers(values), self._sketches.ranges.T
        # NaN passes through a minimum.
        lowest, highest = np.minimum.reduce(values), np.maximum.reduce(numbers)
        if np.isnan(lowest).any():
            if counts_missing:
                self._missing += _counts(np.isnan(values[:, :-1]))
            lowest, highest = np.fmin.reduce(values), np.fmax.reduce(numbers)
        # Clean traffic has few columns with such values.
        at = np.flatnonzero((lowest[self._sketches.numbers] < least) | (highest > most))
        if len(at):
            some = numbers[:, at]
            self._out_of_range[at] += _counts((some < least[at]) | (some > most[at]))

    def _evidence(self) -> Float64:
        """The evidence of all variables, (k + m,)."""
        found = np.empty(len(self._sketches.numbers) + len(self._sketches.flags))
        for group in self._groups:
            found[group.variables] = group.evidence
        return found

    def _name(self) -> None:
        """Name the columns whose evidence suffices now."""
        variables = self._evidence()
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
        """Whether this variable's values became higher."""
        return any(group.is_higher[group.variables == variable].any() for group in self._groups)

    def view(self) -> View:
        """The state of all columns at this moment."""
        evidence = self._variables.evidence(self._evidence())
        return View(
            sketches=self._sketches,
            names=self.names,
            kinds=self.values.kinds,
            class_names=self._class_names,
            threshold=self._threshold,
            rows=self._rows(),
            is_monitored=self._variables.is_monitored,
            evidence=evidence,
            marks=self._marks.copy(),
            recent=self._recent(),
            missing=self._missing.copy(),
            out_of_range=self._out_of_range.copy(),
        )

    def _rows(self) -> npt.NDArray[np.int64]:
        found = np.full(len(self.names), self._answered.rows)
        if self._measured is not None:
            found[self.values.measures] = self._measured.rows
        return found

    def _recent(self) -> Float64:
        """The newest rows of all columns; NaN before the first one of a group."""
        found = self._answered.recent()
        if self._measured is None:
            return found
        measured, columns = self._measured.recent(), self.values.measures
        if len(measured) > len(found):
            missing = np.full((len(measured) - len(found), found.shape[1]), np.nan)
            found = np.concatenate([missing, found])
        if len(measured):
            found[-len(measured) :, columns] = measured[:, columns]
        return found

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the whole state."""
        arrays = self._marks.dump()
        for group in self._groups:
            arrays |= group.dump()
        return arrays

    def restore(self, dumped: Dumped) -> None:
        """Resume from a dump. Raises ValueError, and changes nothing, if it is not valid."""
        answered = self._answered.read(dumped)
        measured = None if self._measured is None else self._measured.read(dumped)
        self._marks = saved.Marks.read(dumped, len(self.names), len(self._sketches.numbers) + len(self._sketches.flags))
        self._answered, self._measured = answered, measured
        self._version += 1


def _counts(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many rows (n, c) have each flag, (c,)."""
    # A product takes a tenth of the time of a sum over bools.
    return (np.ones(len(flags), np.float32) @ flags.astype(np.float32)).astype(np.int64)
