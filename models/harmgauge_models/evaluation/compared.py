"""Compares how well the score and its baselines separate two groups of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge_models.evaluation.labels import Labels
from harmgauge_models.evaluation.measure import CLEAN, Measured
from harmgauge_models.measures.auc_difference import auc_difference
from harmgauge_models.measures.roc import roc_auc

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

Quality = dict[str, Any]

EITHER = {"harmful_harmless": ("harmful", "harmless"), "wrong_right": ("wrong", "right")}
"""Pairs of groups to separate."""


def compared(
    scores: dict[str, Float64], high: Mask, low: Mask, clusters: npt.NDArray[np.intp] | None = None
) -> dict[str, Any]:
    """The `rows` of both groups, the ROC AUC of each score (None if a group is empty), and `score_minus_entropy`: the
    difference and its 95 % interval.

    Scores are (n,); copies of one row share a number in `clusters` (n,).
    """
    rows = [int(high.sum()), int(low.sum())]
    if not all(rows):
        return {"rows": rows, "roc_auc": dict.fromkeys(scores), "score_minus_entropy": None}
    either = high | low
    found = auc_difference(
        scores["score"][either],
        scores["entropy"][either],
        high[either],
        None if clusters is None else clusters[either],
    )
    return {
        "rows": rows,
        "roc_auc": {name: roc_auc(values[high], values[low]) for name, values in scores.items()},
        "score_minus_entropy": {"difference": found.difference, "low": found.low, "high": found.high},
    }


def harmful_harmless(copies: Sequence[Measured], clean: Measured, labels: Labels) -> dict[str, Any]:
    """Compare rows that a corruption harmed with rows that it did not harm, over several copies of the same rows."""
    before = clean.predictions == labels
    right = np.concatenate([one.predictions == labels for one in copies])
    known = np.tile(before, len(copies))
    return compared(_scores(copies), known & ~right, known & right, _clusters(copies))


def wrong_right(copies: Sequence[Measured], labels: Labels) -> dict[str, Any]:
    """Compare wrong answers with right ones, over several copies of the same rows, including the clean ones."""
    right = np.concatenate([one.predictions == labels for one in copies])
    return compared(_scores(copies), ~right, right, _clusters(copies))


def level(measured: dict[tuple[str, int], Measured], severity: int, labels: Labels) -> dict[str, Any]:
    """Results at one severity: for all kinds, and for each kind."""
    clean = measured[CLEAN]
    copies = {kind: one for (kind, found), one in measured.items() if found == severity and (kind, found) != CLEAN}
    every = list(copies.values())
    return {
        "harmful_harmless": harmful_harmless(every, clean, labels),
        "wrong_right": wrong_right([clean, *every], labels),
        "by_kind": {kind: harmful_harmless([one], clean, labels) for kind, one in copies.items()},
    }


def pooled(measured: dict[tuple[str, int], Measured], labels: Labels) -> dict[str, Any]:
    """Results over all severities: for all kinds, and for each kind."""
    clean = measured[CLEAN]
    by_kind: dict[str, list[Measured]] = {}
    for (kind, severity), one in measured.items():
        if (kind, severity) != CLEAN:
            by_kind.setdefault(kind, []).append(one)
    every = [one for copies in by_kind.values() for one in copies]
    return {
        "harmful_harmless": harmful_harmless(every, clean, labels),
        "wrong_right": wrong_right([clean, *every], labels),
        "by_kind": {kind: harmful_harmless(copies, clean, labels) for kind, copies in by_kind.items()},
    }


def below_entropy(quality: Quality) -> list[dict[str, Any]]:
    """Every figure in the report for which the score is worse than the classifier's entropy by more than the 95 %
    interval: its kind and severity, or `period` (`all` for all of them), and the groups that were separated.
    """
    return [
        where
        | {"roc_auc": {name: table["roc_auc"][name] for name in ("score", "entropy")}}
        | table["score_minus_entropy"]
        for where, table in _figures(quality)
        if table["score_minus_entropy"] is not None and table["score_minus_entropy"]["high"] < 0
    ]


def _figures(quality: Quality) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Each figure with its position in the report."""
    levels = quality["severity"] | ({"all": quality["pooled"]} if "pooled" in quality else {})
    for severity, level in levels.items():
        for between in EITHER:
            yield {"kind": "all", "severity": severity, "between": between}, level[between]
        for kind, table in level["by_kind"].items():
            yield {"kind": kind, "severity": severity, "between": "harmful_harmless"}, table
    if "periods" in quality:
        of_time = {"kind": "none", "severity": "none", "between": "wrong_right"}
        yield of_time | {"period": "all"}, quality["periods"]["wrong_right"]
        for name, table in quality["periods"]["by_period"].items():
            yield of_time | {"period": name}, table["wrong_right"]
    clean = {"kind": "none", "severity": "clean", "between": "wrong_right"}
    yield clean, quality["clean"]["wrong_right"]


def _scores(copies: Sequence[Measured]) -> dict[str, Float64]:
    return {name: np.concatenate([one.scores[name] for one in copies]) for name in copies[0].scores}


def _clusters(copies: Sequence[Measured]) -> npt.NDArray[np.intp]:
    return np.tile(np.arange(len(copies[0].predictions)), len(copies))
