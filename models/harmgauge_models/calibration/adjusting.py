"""Adjusts the logit of q if one line cannot fit both clean and disturbed rows.

Some second networks are less sure of clean rows than the classifier, for example with many classes and a forest. And a
head for images scores harmless change like clean images, on purpose, although changed images are wrong more often.
P(wrong) is then too high on clean rows and, in return, too low on disturbed ones. The last hidden layer separates the
two: a linear function of it is added to the logit, in the graph.

A share of it may be added to the score too (`score_adjusted`): a score that ignores change that does no harm ranks the
classifier's usual errors less well, and a share of the term gives some of that back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.kappa import fit_balanced
from harmgauge_models.calibration.known import MIN_ROWS, Known
from harmgauge_models.calibration.logistic import SPREAD, Float64, regress
from harmgauge_models.calibration.observed import Observer
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.graphs.adjustment import (
    MOST,
    MOST_WIDTH,
    Term,
    adjust_score,
    give_adjustment,
    has_adjusted_score,
    last_hidden,
    with_output,
    without_adjustment,
)
from harmgauge_models.graphs.error_probability import LOGIT, give_logit
from harmgauge_models.graphs.run import predict_all

MOST_OFF = 0.02
"""Allowed error of the mean of P on clean rows."""

MOST_ROWS, DISTURBED_ROWS = 5000, 12_000
SECONDS = 60.0
"""Approximate CPU time limit for running the graph, on one core."""

RIDGES = (1e-3, 1e-2, 1e-1)
"""Weights of the squared weights of the layer in the mean loss of a row; the one that fits other rows best is used."""


@dataclass(frozen=True)
class _Seen:
    """For n rows: `logits` of q (n,), the `hidden` layer (n, width), the probability that each answer is `wrong` (n,),
    and each row's weight (n,).
    """

    logits: Float64
    hidden: Float64
    wrong: Float64
    weights: Float64

    def of(self, chosen: Array) -> _Seen:
        return _Seen(self.logits[chosen], self.hidden[chosen], self.wrong[chosen], self.weights[chosen])


@dataclass(frozen=True)
class _Fit:
    """The logit of P is `slope` x (logit q + `weights` (width,) x hidden + `offset`) + `intercept`."""

    slope: float
    intercept: float
    weights: Float64
    offset: float

    def loss(self, seen: _Seen) -> float:
        """The mean negative log-likelihood."""
        added = np.clip(seen.hidden @ self.weights + self.offset, -MOST, MOST)
        z = self.slope * (seen.logits + added) + self.intercept
        losses = np.logaddexp(0, z) - seen.wrong * z
        return float(seen.weights @ losses / seen.weights.sum())


def adjusted(graph: bytes, disturber: ByKind, known: Known, *, seed: int, what: str) -> bytes:
    """Add an adjustment to P(wrong) of the fused `graph` if P needs one and it improves P on rows that it was not
    fitted to. P needs the rest if its score already has a share.

    Raises UserError if the graph has no second network, or cannot run on disturbed rows.
    """
    graph = without_adjustment(graph)
    allowed = 0.0 if has_adjusted_score(graph) else MOST_OFF
    term = _term(graph, disturber, known, allowed, seed=seed, what=what)
    return graph if term is None else give_adjustment(graph, term)


def score_adjusted(
    graph: bytes, share: float, disturber: ByKind, known: Known, *, seed: int, what: str
) -> bytes | None:
    """Add `share` of the adjustment that P(wrong) needs to the score of the fused `graph`; None if P needs none.

    Raises the same errors as `adjusted`.
    """
    term = _term(graph, disturber, known, MOST_OFF, seed=seed, what=what)
    return None if term is None else adjust_score(graph, term, share)


def _term(graph: bytes, disturber: ByKind, known: Known, most_off: float, *, seed: int, what: str) -> Term | None:
    """A linear function of the hidden layer; None if the mean of P on clean rows is off by at most `most_off`."""
    tensor = last_hidden(graph)
    if tensor is None or not known.is_enough:
        return None
    affordable = int(SECONDS / Observer(graph).seconds_per_row(known.x))
    random = np.random.default_rng((seed, 21))
    picked = np.sort(random.permutation(len(known.x))[: min(MOST_ROWS, affordable // 2)])
    if len(picked) < MIN_ROWS:
        return None
    copies = max(1, min(math.ceil(DISTURBED_ROWS / len(picked)), affordable // len(picked) - 1))
    x = known.x[picked]
    rows = np.tile(np.arange(len(x)), 1 + copies)
    disturbed = [x, *(disturber(x, random)[0] for _ in range(copies))]
    found = predict_all(
        with_output(give_logit(graph), tensor), np.concatenate(disturbed), what, ["probabilities", LOGIT, tensor]
    )
    probabilities, hidden = found["probabilities"].astype(np.float64), found[tensor].astype(np.float64)
    if hidden.ndim != 2 or hidden.shape[1] > MOST_WIDTH:
        return None
    logits = found[LOGIT][:, 0].astype(np.float64)
    wrong = known.truth(picked, probabilities[: len(x)]).wrong(np.nan_to_num(probabilities).argmax(1), rows)
    is_clean = np.arange(len(rows)) < len(x)
    seen = _Seen(logits, hidden, wrong, np.where(is_clean, copies * disturber.clean_weight, 1.0))
    good = np.isfinite(logits) & np.isfinite(probabilities).all(1) & np.isfinite(hidden).all(1)
    clean, others = good & is_clean, good & ~is_clean
    line = fit_balanced(logits[clean], wrong[clean], [(logits[others], wrong[others])], disturber.clean_weight)
    if abs(float(line(logits[clean]).mean() - wrong[clean].mean())) <= most_off:
        return None
    halves = [seen.of(good & (rows % 2 == half)) for half in (0, 1)]
    losses = {ridge: _fitted(halves[0], ridge).loss(halves[1]) for ridge in (None, *RIDGES)}
    ridge = min(losses, key=lambda ridge: losses[ridge])
    fit = _fitted(seen.of(good), ridge)
    if ridge is None or fit.slope >= 0:
        return None
    return Term(tensor, fit.weights, fit.offset)


def _fitted(seen: _Seen, ridge: float | None) -> _Fit:
    """Without a `ridge`, the layer is left out."""
    middle, spread = seen.hidden.mean(0), seen.hidden.std(0) + 1e-6
    x, spreads = np.vstack([seen.logits, np.ones_like(seen.logits)]), np.full(2, SPREAD)
    if ridge is not None:
        x = np.vstack([x, ((seen.hidden - middle) / spread).T])
        spreads = np.r_[spreads, np.full(len(middle), 1 / math.sqrt(ridge * len(seen.logits)))]
    slope, intercept, *others = regress(x, seen.wrong, seen.weights, spreads)
    weights = np.array(others) / spread / slope if others else np.zeros(len(middle))
    return _Fit(float(slope), float(intercept), weights, -float(weights @ middle))
