"""Fits P(wrong) of a fused graph to calibration rows and disturbed copies of them, or returns the reason why it
cannot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge_models.calibration.adjusting import adjusted
from harmgauge_models.calibration.bench import Bench
from harmgauge_models.calibration.kappa import fit_balanced, missed
from harmgauge_models.calibration.known import MIN_ROWS, Known
from harmgauge_models.calibration.logistic import Float64, Line
from harmgauge_models.calibration.observed import Observer
from harmgauge_models.calibration.singles import singles
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.detectors.base import Folds
from harmgauge_models.graphs.error_probability import give

MOST_ROWS = 20_000
DISTURBED_ROWS = 20_000
SECONDS = 240.0
"""Approximate CPU time limit, on one core, for running the graph on the disturbed copies, and again on single
disturbances.
"""

MIN_EITHER = 20
"""Minimum number of wrong answers, and of right ones."""

USELESS = 1.0
"""The kappa of an estimate that always equals the usual accuracy."""

LEAST_SEEN = 1 / 3
"""Minimum share of a drop in accuracy by which the estimate must fall; for a constant estimate it is 0."""

SURE = 2.33
"""The .99 quantile of the normal distribution."""


def calibrated(
    graph: bytes, disturber: ByKind, known: Known, unseen: Folds | None = None, *, seed: int, what: str
) -> tuple[bytes, ErrorProbability | str]:
    """Add the output `error_probability` to the fused `graph`; returns it with the fit, or unchanged with the reason
    why it cannot be fitted.

    Arguments and errors are those of `calibrate`.
    """
    ready = adjusted(graph, disturber, known, seed=seed, what=f"{what}: hidden layer")
    found = calibrate(ready, disturber, known, unseen, seed=seed, what=what)
    if isinstance(found, str):
        return graph, found
    return give(ready, found.slope, found.intercept), found


def calibrate(
    graph: bytes, disturber: ByKind, known: Known, unseen: Folds | None = None, *, seed: int, what: str
) -> ErrorProbability | str:
    """Fit P(wrong) for the fused `graph`; returns the reason as text if it cannot be fitted.

    The `unseen` networks judge it on disturbances that they have not seen. `what` names the graph in the progress bar.
    Raises UserError if the graph cannot run on disturbed rows, or has no second network.
    """
    if (reason := known.missing) is not None:
        return reason
    random = np.random.default_rng((seed, 20))
    observer = Observer(graph)
    affordable = max(MIN_ROWS, int(SECONDS / observer.seconds_per_row(known.x)))
    picked = np.sort(random.permutation(len(known.x))[: min(MOST_ROWS, affordable)])
    x = known.x[picked]
    probabilities, logits = observer.probabilities(x)
    truth = known.truth(picked, probabilities)
    bench = Bench(observer, disturber, x, truth, affordable, what)
    good = np.isfinite(logits)
    logits, wrong = logits[good], truth.wrong(probabilities.argmax(1), np.arange(len(x)))[good]
    copies = max(1, min(math.ceil(DISTURBED_ROWS / len(x)), affordable // len(x)))
    disturbed = _disturbed(bench, copies, random)
    if (reason := _too_few([wrong, *(part for _, part in disturbed)])) is not None:
        return reason
    line = fit_balanced(logits, wrong, disturbed, disturber.clean_weight)
    if not line.slope < 0:
        return (
            "the second network does not separate wrong answers from right ones: its probability of the classifier's "
            f"answer is no lower when the answer is wrong (slope {line.slope:.3g}, expected below 0)"
        )
    judged = missed(singles(bench, unseen, random))
    if judged is None:
        return "no disturbance costs the classifier accuracy, so it is unknown how well a drop would be detected"
    if judged.kappa >= USELESS or judged.seen < LEAST_SEEN:
        return (
            "it would be hardly better than always reporting the usual accuracy: if a disturbance that it was not "
            f"fitted to costs accuracy, the estimate falls by {max(judged.seen, 0):.0%} of that drop and is off by "
            f"{judged.kappa:.0%} of it (root mean square)"
        )
    return ErrorProbability(
        **line._asdict(),
        **_base(line, logits),
        kappa=judged.kappa,
        rows=len(x),
        copies=copies,
        target="changed" if known.y is None else "wrong",
    )


def _disturbed(bench: Bench, copies: int, random: np.random.Generator) -> list[tuple[Float64, Float64]]:
    """For each disturbed copy of the rows, the logits of q and the probabilities that the answers are wrong."""
    every = np.arange(len(bench.x))
    found = []
    with bench.progress(copies * len(every), "disturbed rows") as progress:
        for _ in range(copies):
            seen, wrong = bench.observe(bench.observer, every, progress, lambda x, _: bench.disturber(x, random)[0])
            kept = np.isfinite(seen.logits)
            found.append((seen.logits[kept], wrong[kept]))
    return found


def _too_few(wrong: Sequence[Float64]) -> str | None:
    rows = sum(len(part) for part in wrong)
    of_either = float(sum(part.sum() for part in wrong))
    if min(of_either, rows - of_either) >= MIN_EITHER:
        return None
    return (
        f"the classifier gets {of_either:.0f} of {rows} clean and disturbed calibration rows wrong; expected at least "
        f"{MIN_EITHER} wrong and as many right"
    )


def _base(line: Line, logits: Float64) -> dict[str, float]:
    """P(wrong) on clean rows, and an upper bound of its mean on other clean rows."""
    p = line(logits)
    base = float(p.mean())
    return {"base": base, "base_upper": min(1.0, base + SURE * float(p.std()) / math.sqrt(len(p)))}
