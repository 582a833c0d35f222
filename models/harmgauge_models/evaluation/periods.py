"""Rows by time: natural drift, for which there is no clean counterpart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.compared import compared
from harmgauge_models.evaluation.labels import Labels
from harmgauge_models.evaluation.measure import Measured
from harmgauge_models.evaluation.span_names import SPANS

DEFAULT_PERIODS = 10
MOST_PERIODS = 400
MOST_NAMED = 60
"""Each distinct time is a separate period if there are no more than this, unless `--periods` is given."""


@dataclass(frozen=True)
class Periods:
    """The `names` of the periods in order of time, and the index of each row's period, (n,)."""

    names: tuple[str, ...]
    of: npt.NDArray[np.intp]


def split(times: Array, periods: str | None, name: str) -> Periods:
    """Split rows by their `times` (n,): numbers, datetime64 or strings.

    `periods` is a number of periods with equally many rows, or one of SPANS; by default each value is a period if there
    are few, otherwise there are ten. Raises UserError.
    """
    if times.dtype.kind == "S":
        times = times.astype(str)
    if times.dtype.kind == "U":
        times = _dates(times)
    if times.dtype.kind not in "iufMU" or times.ndim != 1:
        raise UserError(
            f"--time {name} is {times.dtype} {times.shape}; expected a number, a date (datetime64 or text) or a "
            "name of a period for each row"
        )
    if times.dtype.kind in "fM" and (~np.isfinite(times)).any():
        raise UserError(f"--time {name} has no time for {int((~np.isfinite(times)).sum())} rows: leave them out")
    if periods in SPANS:
        return _by_span(times, str(periods), name)
    if periods is None and len(values := np.unique(times)) <= MOST_NAMED:
        return Periods(tuple(str(value) for value in values), np.searchsorted(values, times))
    if periods is not None and (not re.fullmatch(r"\d{1,3}", periods) or not 2 <= int(periods) <= MOST_PERIODS):
        raise UserError(f"--periods {periods}: expected a count of 2 to {MOST_PERIODS}, or one of {', '.join(SPANS)}")
    return _by_count(times, int(periods or DEFAULT_PERIODS))


def _dates(texts: Array) -> Array:
    """The texts as dates if all of them are dates (ISO 8601), otherwise unchanged."""
    try:
        dates = np.array([text.strip().removesuffix("Z") for text in texts], "datetime64[s]")
    except ValueError:
        return texts
    return texts if np.isnat(dates).any() else dates


def _by_span(times: Array, span: str, name: str) -> Periods:
    if times.dtype.kind != "M":
        raise UserError(
            f"--periods {span}: expected dates in {name}, got {times.dtype}: use a count, or save datetime64"
        )
    starts = times.astype(f"datetime64[{SPANS[span]}]")
    if span == "week":  # weeks start on Monday; NumPy's start on Thursday
        starts = starts - (starts.astype(np.int64) + 3) % 7
    if span == "quarter":
        starts = (starts.astype(np.int64) // 3 * 3).astype("datetime64[M]")
    values, of = np.unique(starts, return_inverse=True)
    if len(values) > MOST_PERIODS:
        raise UserError(
            f"--periods {span} makes {len(values)} periods; expected at most {MOST_PERIODS}: use longer ones"
        )
    return Periods(tuple(str(value) for value in values), of)


def _by_count(times: Array, count: int) -> Periods:
    """Split into `count` periods; rows with the same time stay together."""
    values, places = np.unique(times, return_inverse=True)
    counts = np.bincount(places)
    middles = np.cumsum(counts) - counts / 2
    _, of = np.unique((middles * count // len(times))[places], return_inverse=True)
    names = []
    for period in range(int(of.max()) + 1):
        own = values[np.unique(places[of == period])]
        names.append(str(own[0]) if len(own) == 1 else f"{own[0]} to {own[-1]}")
    return Periods(tuple(names), of)


def period_tables(
    found: Measured, periods: Periods, labels: Labels, threshold: np.float32, reference: npt.NDArray[Any]
) -> dict[str, Any]:
    """By period: rows, accuracy, mean of each score, flagged share, the p-value of the Kolmogorov-Smirnov test against
    the bundle's `reference` scores, and how well the scores separate wrong from right answers.
    """
    right = found.predictions == labels
    tables: dict[str, Any] = {}
    for index, name in enumerate(periods.names):
        own = periods.of == index
        scores = {score: values[own] for score, values in found.scores.items()}
        tables[name] = {
            "rows": int(own.sum()),
            "accuracy": float(right[own].mean()),
            **{score: float(values.mean()) for score, values in scores.items()},
            "flagged": float((scores["score"].astype(np.float32) > threshold).mean()),
            "ks_p": float(ks_2samp(scores["score"], reference).pvalue),
            "wrong_right": compared(scores, ~right[own], right[own]),
        }
    every = compared(found.scores, ~right, right)
    return {"rows": len(labels), "by_period": tables, "wrong_right": every}
