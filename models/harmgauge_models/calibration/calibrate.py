"""P(wrong) of a fused graph, fitted to calibration rows and disturbed copies of them; or why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.bench import Bench
from harmgauge_models.calibration.kappa import fit_balanced, missed
from harmgauge_models.calibration.logistic import Float64, Line
from harmgauge_models.calibration.observed import Observer
from harmgauge_models.calibration.singles import singles
from harmgauge_models.calibration.truth import labelled, stated
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.detectors.base import Fold
from harmgauge_models.errors import UserError

MIN_ROWS = 200
"""Fitted on 100, the estimate is off by .034 on disturbed rows and .017 on clean ones (root mean square)."""

MOST_ROWS = 20_000
DISTURBED_ROWS = 20_000
SECONDS = 240.0
"""Of a core's time the graph may take on the disturbed copies, about; and as many again on single disturbances."""

MIN_EITHER = 20
"""Wrong answers, and right ones."""

USELESS = 1.0
"""The kappa of an estimate that is always the usual accuracy."""

LEAST_SEEN = 1 / 3
"""Of a drop of accuracy; an estimate that is always the same sees none."""

SURE = 2.33
"""The normal quantile of .99."""


@dataclass(frozen=True)
class Known:
    """Calibration rows `x` (n, *shape), and what is known of their classes: the labels `y` (n,), or the `accuracy` that
    the classifier is stated to have on such rows; neither if both are None.
    """

    x: Array
    y: npt.NDArray[np.int64] | None
    accuracy: float | None = None


def check_accuracy(accuracy: float | None, y: npt.NDArray[np.int64] | None = None) -> None:
    """Raises UserError if `--accuracy` is no accuracy, or the rows have labels, from which it follows."""
    if accuracy is None:
        return
    if not 0 < accuracy <= 1:
        raise UserError(f"--accuracy {accuracy}: expected a share above 0 and up to 1, such as 0.93")
    if y is not None:
        raise UserError("--accuracy is for calibration rows without labels, and these have y: leave it out")


def calibrate(
    graph: bytes, disturber: ByKind, known: Known, unseen: Sequence[Fold] = (), *, seed: int, what: str
) -> ErrorProbability | str:
    """Fit P(wrong) for the fused `graph`; a text is the reason why it cannot be had.

    `unseen` networks judge it by disturbances that they have not seen. `what` names the graph for the progress.
    Raises UserError if the graph cannot run on disturbed rows, or has no second network.
    """
    if known.y is None and known.accuracy is None:
        return (
            "the calibration rows have no labels, and the accuracy of the classifier is not known: save y beside x, or "
            "state the accuracy on such rows with --accuracy"
        )
    if len(known.x) < MIN_ROWS:
        return f"there are {len(known.x)} calibration rows; expected at least {MIN_ROWS}, 5000 are good"
    random = np.random.default_rng((seed, 20))
    observer = Observer(graph)
    affordable = max(MIN_ROWS, int(SECONDS / observer.seconds_per_row(known.x)))
    picked = np.sort(random.permutation(len(known.x))[: min(MOST_ROWS, affordable)])
    x = known.x[picked]
    probabilities, logits = observer.probabilities(x)
    if known.y is not None:
        truth = labelled(known.y[picked], probabilities.shape[1])
    else:
        assert known.accuracy is not None
        truth = stated(probabilities, known.accuracy)
    bench = Bench(observer, disturber, x, truth, affordable, what)
    good = np.isfinite(logits)
    logits, wrong = logits[good], truth.wrong(probabilities.argmax(1), np.arange(len(x)))[good]
    copies = max(1, min(math.ceil(DISTURBED_ROWS / len(x)), affordable // len(x)))
    disturbed = _disturbed(bench, copies, random)
    if (reason := _too_few([wrong, *(part for _, part in disturbed)])) is not None:
        return reason
    line = fit_balanced(logits, wrong, disturbed)
    if not line.slope < 0:
        return (
            "the second network does not tell wrong answers from right ones: it finds what the classifier says no less "
            f"likely if that is wrong (slope {line.slope:.3g}, expected below 0)"
        )
    judged = missed(singles(bench, unseen, random))
    if judged is None:
        return "no disturbance costs the classifier accuracy, so nothing shows how well a drop would be seen"
    if judged.kappa >= USELESS or judged.seen < LEAST_SEEN:
        return (
            "it would be hardly better than to state the usual accuracy for ever: if a disturbance that it was not "
            f"fitted to costs accuracy, the estimate falls by {max(judged.seen, 0):.0%} of that and is off by "
            f"{judged.kappa:.0%} (root mean square)"
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
    """Of each disturbed copy of the rows the logits of q, and how likely the answers are wrong."""
    every = np.arange(len(bench.x))
    found = []
    with bench.progress(copies * len(every), "disturbed rows") as progress:
        for _ in range(copies):
            seen, wrong = bench.observe(bench.observer, every, progress, lambda x: bench.disturber(x, random)[0])
            kept = np.isfinite(seen.logits)
            found.append((seen.logits[kept], wrong[kept]))
    return found


def _too_few(wrong: Sequence[Float64]) -> str | None:
    rows = sum(len(part) for part in wrong)
    of_either = float(sum(part.sum() for part in wrong))
    if min(of_either, rows - of_either) >= MIN_EITHER:
        return None
    return (
        f"the classifier has {of_either:.0f} of {rows} clean and disturbed calibration rows wrong; expected at least "
        f"{MIN_EITHER} wrong and as many right"
    )


def _base(line: Line, logits: Float64) -> dict[str, float]:
    """P(wrong) on clean rows, and what the mean of others like them lies under."""
    p = line(logits)
    base = float(p.mean())
    return {"base": base, "base_upper": min(1.0, base + SURE * float(p.std()) / math.sqrt(len(p)))}
