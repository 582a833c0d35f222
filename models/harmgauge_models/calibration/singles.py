"""The sets on which kappa is measured: each kind of disturbance alone, at several strengths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.bench import Bench
from harmgauge_models.calibration.kappa import Judged, Set
from harmgauge_models.calibration.observed import Observed, Observer, Run
from harmgauge_models.detectors.base import Folds
from harmgauge_models.graphs.error_probability import logit_q

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
SET_ROWS, MIN_SET_ROWS = 500, 100


def singles(bench: Bench, unseen: Folds | None, random: np.random.Generator) -> list[Judged]:
    """For each kind, the fit without it; with `unseen` networks, for each of them the kinds that it has not seen."""
    kinds = bench.disturber.kinds
    run = bench.observer if unseen is None else _through(bench.observer, unseen)
    sets_a_row = len(kinds) * len(STRENGTHS) + 1
    runs_a_row = sets_a_row if unseen is None else 2 * sets_a_row
    many = min(len(bench.x), SET_ROWS, max(MIN_SET_ROWS, bench.affordable // runs_a_row))
    rows = np.sort(random.permutation(len(bench.x))[:many])
    with bench.progress(many * sets_a_row, "single disturbances") as progress:
        clean, clean_wrong = bench.observe(run, rows, progress)
        networks = np.atleast_2d(clean.logits)
        sets: list[list[Set]] = [[] for _ in networks]
        for kind in kinds:
            for strength in STRENGTHS:
                disturbed = bench.disturber.alone(bench.x[rows], random, kind, strength)
                found, wrong = bench.observe(run, rows, progress, _made(disturbed))
                for before, after, made in zip(networks, np.atleast_2d(found.logits), sets, strict=True):
                    kept = np.isfinite(after) & np.isfinite(before)
                    if kept.any():
                        made.append(Set(kind, *(part[kept] for part in (after, wrong, before, clean_wrong))))
    judged = []
    for number, (before, made) in enumerate(zip(networks, sets, strict=True)):
        kept = np.isfinite(before)
        by = [(kind,) for kind in kinds] if unseen is None else [unseen.families[number]]
        judged += [Judged(made, before[kept], clean_wrong[kept], unseen=left_out) for left_out in by]
    return judged


def _through(observer: Observer, folds: Folds) -> Run:
    """Combines the classifier's answers with the probabilities that other second networks give them."""

    def run(x: Array) -> Observed:
        found = observer(x)
        logits = np.stack([logit_q(logs, found.predictions) for logs in folds.log_q(x)])
        return Observed(np.where(np.isnan(found.logits), np.nan, logits), found.predictions)

    return run


def _made(rows: Array) -> Callable[[Array, slice], Array]:
    """A disturbance that returns rows (m, *shape) made before."""
    return lambda _, part: rows[part]
