"""Compares accuracy estimates and the alarm on harm with the truth, over many sets of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.load import Bundle
from harmgauge.drift.harm_bound import bound_of
from harmgauge.settings import Settings
from harmgauge_models.evaluation.accuracy import sets as making
from harmgauge_models.evaluation.accuracy.alarm_tables import (
    FLOORS_BELOW_CLEAN,
    SetAlarms,
    by_drop,
    by_floor,
    by_set,
    summary,
)
from harmgauge_models.evaluation.accuracy.baselines import METHODS, CrossFitted
from harmgauge_models.evaluation.accuracy.columns import columns_of
from harmgauge_models.evaluation.accuracy.coverage import COVERED, coverage
from harmgauge_models.evaluation.accuracy.judged import Folds, Judged
from harmgauge_models.evaluation.accuracy.sets import GROUPS, RowSet
from harmgauge_models.evaluation.accuracy.streams import Alarms
from harmgauge_models.evaluation.accuracy.stress import MOST_ROWS, NOISE, stress_copies
from harmgauge_models.evaluation.cases import Cases
from harmgauge_models.evaluation.measure import CLEAN, Copy, Graph, Measured, measure
from harmgauge_models.evaluation.plan import ROWS_BETWEEN_FALSE_ALARMS, Plan
from harmgauge_models.evaluation.work import Arrays, Work, sha256_of

LEAST_PERIOD_ROWS = 50

FORMAT = 2
"""Incremented when the meaning of stored results changes."""


@dataclass(frozen=True)
class Material:
    """The measured `copies` of the rows of `found`, and the rows by time if there are any."""

    bundle: Bundle
    graph: Graph
    found: Cases
    copies: dict[Copy, Measured]
    timed: Measured | None


def accuracy_table(given: Material, plan: Plan, work: Work, *, seed: int) -> dict[str, Any]:
    """The entry `accuracy_estimate` of `quality.json`: how the error probability was `fitted`, the `sets` with truth
    and estimates, `errors` by group, `coverage` of the interval, the `alarm`, and `stress`.

    If the bundle has no error probability, only `missing`, the reason why. Shows progress.
    """
    bundle, labels, chance = given.bundle, given.found.y, given.bundle.error_probability
    if chance is None:
        return {"missing": bundle.no_error_probability}
    if bound_of(chance, Settings()) >= 1:
        return {"missing": "the classifier is hardly ever right on clean rows"}
    folds, classes = halves(len(labels), seed), len(bundle.manifest.class_names)
    baselines = CrossFitted.fit(given.copies[CLEAN], labels, folds, classes)
    copies = {copy: baselines.judged(one, labels, folds) for copy, one in given.copies.items()}
    sets = [*_sets(given, copies, classes, seed), *_periods(given, baselines, folds)]
    estimates = _estimates(sets, baselines, work, seed)
    sets = [replace(one, rows=replace(one.rows, probabilities=None)) for one in sets]
    covered = [one for one in sets if one.group in COVERED]
    streams = _Streams(_alarms(bundle, chance), plan, work, seed)
    return {
        "fitted": chance.model_dump() | {"judged_rows": len(labels)},
        "sets": [
            {"group": one.group, "name": one.name, "rows": len(one.rows), "accuracy": _rounded(one.rows.accuracy)}
            | {method: _rounded(value) for method, value in found.items()}
            for one, found in zip(sets, estimates, strict=True)
        ],
        "errors": _errors(sets, estimates),
        "coverage": coverage(covered, 1 - chance.base, chance.kappa, seed=seed),
        "alarm": _alarm_table(sets, streams, chance),
        "stress": _stress(given, baselines, folds, streams),
    }


def halves(rows: int, seed: int) -> Folds:
    """A random fold, 0 or 1, for each row (rows,): the baselines fitted on one fold judge the other."""
    folds: Folds = np.random.default_rng((seed, rows)).permutation(rows) % 2
    return folds


def _sets(given: Material, copies: dict[Copy, Judged], classes: int, seed: int) -> Iterator[RowSet]:
    random = np.random.default_rng(seed)
    yield from making.clean_sets(copies[CLEAN], columns_of(given.found, given.bundle.manifest))
    yield from making.single_sets(copies)
    yield from making.diluted_sets(copies, random)
    yield from making.two_kinds_sets(copies, random)
    yield from making.label_shift_sets(copies, classes, random)


def _periods(given: Material, baselines: CrossFitted, folds: Folds) -> Iterator[RowSet]:
    """The sets by time. Rows on which no baseline was fitted are in the first fold."""
    if given.timed is None or given.found.timed is None:
        return
    timed, places = given.found.timed, given.found.places
    by_place = np.zeros(1 + max(timed.places.max(), places.max()), np.int64)
    by_place[places] = folds
    every = baselines.judged(given.timed, timed.y, by_place[timed.places])
    for index, name in enumerate(timed.periods.names):
        own = timed.periods.of == index
        if own.sum() >= LEAST_PERIOD_ROWS:
            yield RowSet("period", name, every.take(own))


def _estimates(sets: list[RowSet], baselines: CrossFitted, work: Work, seed: int) -> list[dict[str, float]]:
    """The estimates for each set by each of METHODS; those of the costly method (COT) are stored on disk."""
    found = [{method: one.rows.estimate(method) for method in one.rows.by_method} for one in sets]
    probabilities = [one.rows.probabilities for one in sets]
    if any(some is None for some in probabilities):
        return found
    shares = [some.mean(0, dtype=np.float64) for some in probabilities if some is not None]
    decided_by = [
        FORMAT,
        seed,
        sha256_of(np.stack(shares)),
        *(sha256_of(one.class_shares) for one in baselines.by_fold),
    ]

    def transported() -> Arrays:
        shown = enumerate(tqdm(sets, desc="accuracy by transport"))
        return {"cot": np.array([baselines.cot(one.rows, seed=seed + number) for number, one in shown])}

    kept = work.kept("accuracy/transport", decided_by, transported)["cot"]
    return [one | {"cot": float(value)} for one, value in zip(found, kept, strict=True)]


def _errors(sets: list[RowSet], estimates: list[dict[str, float]]) -> dict[str, Any]:
    """By group: the number of sets, the mean and the largest error of each method, and `by_chance`, the mean error that
    a perfect error probability has on sets of that many rows (if no row occurs twice in a set).
    """
    tables: dict[str, Any] = {}
    for group in GROUPS:
        own = [(one.rows.accuracy, found) for one, found in zip(sets, estimates, strict=True) if one.group == group]
        if own:
            tables[group] = {"sets": len(own)}
            if group != making.LABEL_SHIFT:
                chances = [_by_chance(one.rows) for one in sets if one.group == group]
                tables[group]["by_chance"] = _rounded(np.mean(chances))
            for method in METHODS:
                errors = [abs(found[method] - truth) for truth, found in own if method in found]
                if errors:
                    tables[group][method] = {"mean": _rounded(np.mean(errors)), "max": _rounded(max(errors))}
    return tables


def _by_chance(rows: Judged) -> float:
    """The mean of |z| for a normal z with the variance of the share of wrong rows."""
    p = rows.error_probability
    return float(np.sqrt(2 / np.pi * (p * (1 - p)).sum()) / len(rows))


def _alarms(bundle: Bundle, chance: ErrorProbability) -> Alarms:
    """The alarms with the settings' defaults; floors only if clean traffic stays above them."""
    settings = Settings()
    floors = [round(1 - chance.base - below, 3) for below in FLOORS_BELOW_CLEAN]
    floors = [floor for floor in floors if 0 < floor <= 1 - chance.base_upper]
    bounds = [bound_of(chance, Settings(accuracy_floor=floor)) for floor in floors]
    return Alarms(
        bounds=(bound_of(chance, settings), *bounds),
        reference=bundle.reference.scores,
        tolerance=settings.tolerance,
        rows_between_false_alarms=ROWS_BETWEEN_FALSE_ALARMS,
    )


@dataclass(frozen=True)
class _Streams:
    """Alarms in streams of some rows, stored on disk because the simulation takes a while."""

    alarms: Alarms
    plan: Plan
    work: Work
    seed: int

    def until(self, name: str, rows: Judged) -> Arrays:
        """The result of `Alarms.rows_until`."""
        alarms, streams, stream_rows = self.alarms, self.plan.harm_streams, self.plan.harm_stream_rows
        decided_by = {
            "format": FORMAT,
            "rows": [sha256_of(rows.error_probability), sha256_of(rows.scores)],
            "alarms": [list(alarms.bounds), sha256_of(alarms.reference), alarms.tolerance],
            "rate": alarms.rows_between_false_alarms,
            "streams": [streams, stream_rows, self.seed],
        }
        return self.work.kept(
            f"accuracy/alarms-{self.work.file_name(name)}",
            decided_by,
            lambda: alarms.rows_until(rows, streams=streams, stream_rows=stream_rows, seed=self.seed),
        )


def _alarm_table(sets: list[RowSet], streams: _Streams, chance: ErrorProbability) -> dict[str, Any]:
    """The alarms on the clean rows and on each corrupted copy."""
    alarms, plan = streams.alarms, streams.plan
    watched = [one for one in sets if one.group == "single" or (one.group, one.name) == making.CLEAN_ROWS]
    clean = next(one.rows for one in watched if one.group == "clean")
    found = [
        SetAlarms(one.name, one.rows.accuracy, streams.until(one.name, one.rows))
        for one in tqdm(watched, desc="alarms on harm")
    ]
    floors = [round(1 - bound, 3) for bound in alarms.bounds[1:]]
    return {
        "rows_between_false_alarms": alarms.rows_between_false_alarms,
        "accuracy_drop": _rounded(alarms.bounds[0] - chance.base),
        "accuracy_limit": _rounded(1 - alarms.bounds[0]),
        "streams": plan.harm_streams,
        "stream_rows": plan.harm_stream_rows,
        "sets": by_set(found, clean.accuracy, plan.harm_stream_rows),
        "by_drop": by_drop(found, clean.accuracy, plan.harm_stream_rows),
        "by_floor": by_floor(found, floors, plan.harm_stream_rows),
    }


def _stress(given: Material, baselines: CrossFitted, folds: Folds, streams: _Streams) -> dict[str, dict[str, Any]]:
    """The estimate and the alarms by kind of stress; the accuracy is None if no answer can be right."""
    rows = np.sort(np.random.default_rng(streams.seed).permutation(len(folds))[:MOST_ROWS])
    copies = stress_copies(given.bundle, given.found, rows, streams.seed)
    measured = measure(given.bundle, given.graph, copies, given.found.origin, streams.work, features_of=None)
    tables = {}
    for (name, _), one in measured.items():
        judged = replace(baselines.judged(one, given.found.y[rows], folds[rows]), probabilities=None)
        tables[name] = {
            "rows": len(judged),
            "accuracy": None if name == NOISE else _rounded(judged.accuracy),
            "estimate": _rounded(judged.estimate()),
            "harm": summary(streams.until(name, judged)["harm_single"][0], streams.plan.harm_stream_rows),
        }
    return tables


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 5)
