"""Whether an alarm names its cause: the one source of ten, or the one column of the table, that has changed.

Both use the service's own monitors with its default settings, except for the rows between false alarms.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harmgauge.bundle.rows import Array
from harmgauge_models.evaluation.broken_source import broken_source_table
from harmgauge_models.evaluation.cause_trials import Trials
from harmgauge_models.evaluation.measure import CLEAN, Copy, Measured
from harmgauge_models.evaluation.plan import ROWS_BETWEEN_FALSE_ALARMS
from harmgauge_models.evaluation.shifted_column import shifted_column_table


def causes_table(trials: Trials, x: Array, measured: Mapping[Copy, Measured], severity: int) -> dict[str, Any]:
    """Delays until the cause is named, given the clean rows `x` in the bundle's form: in own rows of the `sources`, for
    each kind of corruption at this severity, and in rows of the `columns`, None without a column of numbers.

    Delays are medians over streams; a stream in which the cause is not named counts as the most rows. Shows progress.
    """
    with _quiet():
        return {
            "rows_between_false_alarms": ROWS_BETWEEN_FALSE_ALARMS,
            "streams": trials.plan.cause_streams,
            "most_rows": trials.most_rows,
            "sources": broken_source_table(trials, measured, severity),
            "columns": shifted_column_table(trials, x, measured[CLEAN].predictions),
        }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the monitors, which are about simulated traffic."""
    logs = [logging.getLogger(f"harmgauge.drift.{name}") for name in ("columns.columns", "sources.sources")]
    levels = [each.level for each in logs]
    for each in logs:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(logs, levels, strict=True):
            each.setLevel(level)
