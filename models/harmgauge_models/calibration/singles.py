"""The sets on which kappa is measured: each kind of disturbance alone, at several strengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.bench import Bench
from harmgauge_models.calibration.kappa import Judged, Set
from harmgauge_models.calibration.observed import Observed, Observer, Run
from harmgauge_models.detectors.base import Fold
from harmgauge_models.graphs.error_probability import logit_q

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
SET_ROWS, MIN_SET_ROWS = 500, 100


def singles(bench: Bench, unseen: Sequence[Fold], random: np.random.Generator) -> list[Judged]:
    """For each kind, the fit without it; with `unseen` networks, for each of them the kinds that it has not seen."""
    kinds = bench.disturber.kinds
    runs: list[Run] = [_through(bench.observer, fold) for fold in unseen] or [bench.observer]
    runs_a_row = (len(kinds) * len(STRENGTHS) + 1) * len(runs)
    many = min(len(bench.x), SET_ROWS, max(MIN_SET_ROWS, bench.affordable // runs_a_row))
    rows = np.sort(random.permutation(len(bench.x))[:many])
    sets: list[list[Set]] = [[] for _ in runs]
    with bench.progress(many * runs_a_row, "single disturbances") as progress:
        cleans = [bench.observe(run, rows, progress) for run in runs]
        for kind in kinds:
            for strength in STRENGTHS:
                disturbed = bench.disturber.alone(bench.x[rows], random, kind, strength)
                for run, (before, wrong_before), made in zip(runs, cleans, sets, strict=True):
                    found, wrong = bench.observe(run, rows, progress, _made(disturbed))
                    kept = np.isfinite(found.logits) & np.isfinite(before.logits)
                    if kept.any():
                        parts = (found.logits, wrong, before.logits, wrong_before)
                        made.append(Set(kind, *(part[kept] for part in parts)))
    judged = []
    for number, (before, wrong) in enumerate(cleans):
        kept = np.isfinite(before.logits)
        by = [unseen[number].families] if unseen else [(kind,) for kind in kinds]
        judged += [Judged(sets[number], before.logits[kept], wrong[kept], unseen=left_out) for left_out in by]
    return judged


def _through(observer: Observer, fold: Fold) -> Run:
    """Combines the classifier's answers with the probabilities that another second network gives them."""

    def run(x: Array) -> Observed:
        found = observer(x)
        logits = logit_q(fold.log_q(x), found.predictions)
        return Observed(np.where(np.isnan(found.logits), np.nan, logits), found.predictions)

    return run


def _made(rows: Array) -> Callable[[Array, slice], Array]:
    """A disturbance that returns precomputed rows (m, *shape), which several networks share."""
    return lambda _, part: rows[part]
