"""Judges whether a score is useful: ranks disturbed calibration rows by the score and by baselines that cost nothing.

A row is harmed if the classifier was right about the original and is wrong about the disturbed row, and harmless if it
is right both times. Without labels, a row is harmed if its prediction changed. The second network has seen the
disturbances that it was trained on, so similar networks, each trained without some of them, are judged on those.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.disturber import Disturber
from harmgauge_models.detectors.base import SecondNetwork
from harmgauge_models.graphs.run import predict_all
from harmgauge_models.measures.auc_difference import Difference, auc_difference
from harmgauge_models.measures.roc import roc_auc

Bools = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

MOST_ROWS = 2000
MOST_DISTURBED = 8000
MIN_DISTURBED = 400
SECONDS = 20.0
"""Approximate time limit for running the graph on disturbed rows."""

MIN_HARMED = 20
LEAST_WORTH = 0.6
"""ROC AUC below which a score is of little use, whatever the baselines reach."""


@dataclass(frozen=True)
class Outputs:
    """The `score` of n rows, and the `entropy`, 1 - max probability (`doubt`) and `predictions` of the classifier's
    distribution, (n,) each.
    """

    score: Float64
    entropy: Float64
    doubt: Float64
    predictions: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Compared:
    """Ranking of `positive` rows against the others: ROC AUC of the score and of the free baselines, and score minus
    entropy.
    """

    positive: int
    rows: int
    score: float
    entropy: float
    doubt: float
    gain: Difference

    def table(self) -> dict[str, Any]:
        """The entry for the manifest; None for unknown values."""
        known = self.positive and self.positive < self.rows
        auc = {"score": self.score, "entropy": self.entropy, "doubt": self.doubt}
        return {
            "rows": self.rows,
            "positive": self.positive,
            "roc_auc": {name: round(value, 4) for name, value in auc.items()} if known else None,
            "score_minus_entropy": [round(value, 4) for value in self.gain] if known else None,
        }


@dataclass(frozen=True)
class Judgement:
    """`unseen` are the disturbances that the judged network was trained without; None if there is no such network.

    `familiar` is true if it was trained on disturbances like the `seen` ones. `clean` compares wrong with right answers
    on the undisturbed calibration rows; None without labels.
    """

    unseen: Compared | None
    seen: Compared
    familiar: bool
    clean: Compared | None
    by_family: dict[str, Compared]
    target: str

    @property
    def deciding(self) -> Compared:
        return self.unseen or self.seen

    @property
    def known(self) -> bool:
        """Whether both groups have enough rows to decide."""
        found = self.deciding
        return min(found.positive, found.rows - found.positive) >= MIN_HARMED

    @property
    def entropy_is_better(self) -> bool:
        return self.known and self.deciding.gain.difference < 0


def judge(
    graph: bytes,
    second: SecondNetwork,
    disturber: Disturber,
    x: Array,
    y: npt.NDArray[np.int64] | None,
    *,
    seed: int,
) -> Judgement:
    """Judge the score of the fused `graph` on calibration rows `x` (n, *shape) with labels `y` (n,), if known."""
    random = np.random.default_rng((seed, 19))
    picked = np.sort(random.permutation(len(x))[:MOST_ROWS])
    rows, labels = x[picked], None if y is None else y[picked]
    before = _outputs(graph, rows)
    truth = before.predictions if labels is None else labels
    copies = _copies(graph, rows)
    seen = _Pool(truth, before)
    tags = []
    for _ in range(copies):
        disturbed, which = disturber(rows, random)
        seen.add(_outputs(graph, disturbed))
        tags.append(which)
    once = np.concatenate(tags)
    by_family = {
        family: seen.compared(once[seen.kept][:, 0] == index)
        for index, family in enumerate(disturber.families)
        if len(disturber.families) > 1
    }
    clean = None
    if labels is not None:
        clean = _compare(before, before.predictions != labels, np.arange(len(rows)))
    return Judgement(
        unseen=_unseen(graph, second, disturber, rows, _Pool(truth, before), copies=copies, random=random),
        seen=seen.compared(),
        familiar="resembled_kinds" in second.made,
        clean=clean,
        by_family=by_family,
        target="wrong" if labels is not None else "changed",
    )


def _unseen(
    graph: bytes,
    second: SecondNetwork,
    disturber: Disturber,
    rows: Array,
    pool: _Pool,
    *,
    copies: int,
    random: np.random.Generator,
) -> Compared | None:
    if second.left_out is None:
        return None
    folds = second.left_out()
    for index, families in enumerate(folds.families):
        for _ in range(max(1, copies // 2)):
            disturbed, _ = disturber(rows, random, families)
            found = _outputs(graph, disturbed)
            log_q = folds.log_q(disturbed)[index]
            score = -log_q[np.arange(len(rows)), found.predictions].astype(np.float64)
            pool.add(Outputs(score, found.entropy, found.doubt, found.predictions))
    return pool.compared()


class _Pool:
    """Outputs of disturbed rows for which the classifier was right before the disturbance."""

    def __init__(self, truth: npt.NDArray[Any], before: Outputs) -> None:
        self._truth = truth
        self._right = before.predictions == truth
        self._found: list[Outputs] = []

    def add(self, found: Outputs) -> None:
        self._found.append(found)

    @property
    def kept(self) -> Bools:
        return np.tile(self._right, len(self._found))

    def compared(self, among: Bools | None = None) -> Compared:
        """Harmed against harmless rows; `among` selects some of the kept rows."""
        copies = len(self._found)
        kept = np.flatnonzero(self.kept)
        kept = kept if among is None else kept[among]
        joined = Outputs(
            *(
                np.concatenate([getattr(found, name) for found in self._found])[kept]
                for name in ("score", "entropy", "doubt", "predictions")
            )
        )
        harmed = joined.predictions != np.tile(self._truth, copies)[kept]
        return _compare(joined, harmed, kept % len(self._truth))


def _compare(found: Outputs, positive: Bools, clusters: npt.NDArray[np.intp]) -> Compared:
    score, entropy, doubt = (
        roc_auc(values[positive], values[~positive]) for values in (found.score, found.entropy, found.doubt)
    )
    gain = auc_difference(found.score, found.entropy, positive, clusters)
    return Compared(int(positive.sum()), len(positive), score, entropy, doubt, gain)


def _outputs(graph: bytes, rows: Array) -> Outputs:
    given = predict_all(graph, rows, "disturbed calibration rows", ("score", "probabilities"))
    p = np.nan_to_num(given["probabilities"].astype(np.float64))
    entropy = -(p * np.log(np.maximum(p, 1e-7))).sum(1)
    # The service rejects a score that is not a number, so such a score does no harm.
    wide = np.nan_to_num(given["score"].astype(np.float64), nan=np.inf)
    return Outputs(wide, entropy, 1 - p.max(1), p.argmax(1))


def _copies(graph: bytes, rows: Array) -> int:
    began = time.process_time()
    few = rows[:32]
    _outputs(graph, few)
    seconds = max((time.process_time() - began) / len(few), 1e-9)
    affordable = max(MIN_DISTURBED, min(MOST_DISTURBED, SECONDS / seconds))
    return max(1, round(affordable / len(rows)))


def sentence(judgement: Judgement, detector: str) -> str:
    """One line for the terminal: whether the score is worth serving, and why."""
    found = judgement.deciding
    if not judgement.known:
        return (
            f"Too few rows to tell whether the score is worth serving: disturbances harmed {found.positive} of "
            f"{found.rows} calibration rows; at least {MIN_HARMED} harmed and as many harmless rows are needed"
        )
    says = f"on {_which(judgement)}, it ranks harmed above harmless rows with a ROC AUC of {found.score:.3f}"
    if detector == "entropy":
        return (
            f"{_verdict(found.entropy)}: the classifier's entropy ranks harmed above harmless rows with a ROC AUC of "
            f"{found.entropy:.3f}"
        )
    low, high = found.gain.low, found.gain.high
    beside = f"against {found.entropy:.3f} for the classifier's entropy (difference {low:+.3f} to {high:+.3f})"
    if judgement.entropy_is_better:
        return f"The classifier's entropy alone would be better: {says} {beside}"
    return f"{_verdict(found.score)}: {says} {beside}{_worse_when_clean(judgement)}"


def _worse_when_clean(judgement: Judgement) -> str:
    """A score may detect disturbances well but the classifier's usual errors less well: this must be reported."""
    clean = judgement.clean
    if clean is None or not clean.gain.is_below:
        return ""
    return (
        f"; on undisturbed rows, entropy ranks wrong above right answers better ({clean.entropy:.3f} against "
        f"{clean.score:.3f})"
    )


def _which(judgement: Judgement) -> str:
    if judgement.unseen is not None:
        return "disturbances that it was not trained on"
    return "disturbances like those it was trained on" if judgement.familiar else "random disturbances"


def _verdict(area: float) -> str:
    return "Worth serving" if area >= LEAST_WORTH else "Of little use"


def worth_serving(judgement: Judgement, detector: str) -> bool:
    """Whether the score is worth serving; if not, `check` warns."""
    if not judgement.known:
        return True
    if detector == "entropy":
        return judgement.deciding.entropy >= LEAST_WORTH
    return not judgement.entropy_is_better and judgement.deciding.score >= LEAST_WORTH


def table(judgement: Judgement, detector: str) -> dict[str, Any]:
    """The entry for the manifest's `quality`."""
    return {
        "sentence": sentence(judgement, detector),
        "worth_serving": worth_serving(judgement, detector),
        "target": judgement.target,
        "unseen": None if judgement.unseen is None else judgement.unseen.table(),
        "seen": judgement.seen.table(),
        "clean": None if judgement.clean is None else judgement.clean.table(),
        "by_family": {name: found.table() for name, found in judgement.by_family.items()},
    }
