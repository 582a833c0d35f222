"""Detection delays: rows of changed traffic until the alarm, at the same false alarm rate for all drift detectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.load import Bundle
from harmgauge.drift.from_bundle import build_drift_detectors
from harmgauge.drift.harm_bound import bound_of
from harmgauge.drift.state import DriftDetector
from harmgauge.settings import Settings
from harmgauge_models.evaluation.alarms import (
    Draw,
    Rows,
    rows_to_any_alarm,
    rows_to_evidence_alarm,
    rows_to_harm_alarm,
    rows_to_ks_alarm,
    rows_to_mmd_alarm,
    stream,
)
from harmgauge_models.evaluation.plan import ROWS_BETWEEN_FALSE_ALARMS, Plan
from harmgauge_models.evaluation.work import Arrays, Work, sha256_of

FEATURE_MMD = "feature_mmd"
HARM = "harm"
SCORES_ALONE = ("score_evidence", "score_ks")
FEATURE_WINDOW_ROWS = 500
"""The service's default."""

FORMATS = {"score_evidence": 2}
"""By detector, 1 for all others: incremented when the meaning of its stored delays changes."""


@dataclass(frozen=True)
class Group:
    """Rows to draw from: `scores` (n,); if the bundle has them, `features` (n, d) and `error_probability` (n,)."""

    scores: npt.NDArray[np.float64]
    features: npt.NDArray[np.float32] | None
    error_probability: npt.NDArray[np.float32] | None = None


Alarm = Callable[[Draw, Draw, int], int]
"""Maps the traffic before the change, the traffic after it and a seed to the rows until the alarm."""


def delays(
    bundle: Bundle, clean: Group, changed: dict[str, Group], plan: Plan, work: Work, *, seed: int, rate: int
) -> dict[str, Any]:
    """By detector, by group of `changed`, and by share: the mean rows until the alarm, and the number of streams with
    an alarm, with `rate` rows between false alarms.

    Streams are drawn with replacement (each window of features without): `share` of the rows from the group, the rest
    from `clean`. The group "none" is clean traffic alone, so its alarms are false. Streams without an alarm count as
    `plan.most_rows`. Groups without rows are omitted. Shows progress.
    """
    mixtures = [("none", 0.0, clean)]
    mixtures += [(name, share, group) for name, group in changed.items() for share in plan.delay_shares]
    mixtures = [mixture for mixture in mixtures if len(mixture[2].scores)]
    alarms = _alarms(bundle, plan.most_rows, rate)
    found: dict[str, Any] = {detector: {} for detector in alarms}
    for detector, (name, share, group) in tqdm(list(product(alarms, mixtures)), desc="delays"):
        normal, strange = _rows(clean, detector), _rows(group, detector)
        decided_by = {
            "format": FORMATS.get(detector, 1),
            "reference": bundle.manifest.files[bundle.manifest.reference_file].sha256,
            "settings": _settings(bundle, detector, plan.most_rows, rate),
            "rows": [sha256_of(normal), sha256_of(strange)],
            "share": share,
            "streams": [plan.streams, seed],
        }
        # A kernel test treats rows that occur twice in a window as a difference; in real traffic no two rows are the
        # same.
        before, draw = (mixture(normal, strange, part, distinct=detector == FEATURE_MMD) for part in (0, share))
        make = partial(_streams, alarms[detector], before, draw, range(seed, seed + plan.streams))
        label = f"delays/{detector}-{name}-{share:g}" + ("" if rate == ROWS_BETWEEN_FALSE_ALARMS else f"-{rate}")
        until = work.kept(label, decided_by, make)["rows"]
        found[detector].setdefault(name, {})[f"{share:g}"] = {
            "mean_rows": float(until.mean()),
            "alarms": int((until < plan.most_rows).sum()),
        }
    return found


def _alarms(bundle: Bundle, most_rows: int, rate: int) -> dict[str, Alarm]:
    """The bundle's detectors with the service's default settings: simulated by dedicated fast functions if they have
    one, otherwise by the detector itself.
    """
    scores, features = bundle.reference.scores, bundle.reference.features

    def score_evidence(_: Draw, draw: Draw, seed: int) -> int:
        return rows_to_evidence_alarm(scores, draw, rate, seed=seed, most_rows=most_rows)

    def score_ks(before: Draw, draw: Draw, seed: int) -> int:
        return rows_to_ks_alarm(scores, before, draw, **_settings(bundle, "score_ks", most_rows, rate), seed=seed)

    def mmd(_: Draw, draw: Draw, seed: int) -> int:
        assert features is not None
        return rows_to_mmd_alarm(features, draw, **_settings(bundle, FEATURE_MMD, most_rows, rate), seed=seed)

    def harm(_: Draw, draw: Draw, seed: int) -> int:
        return rows_to_harm_alarm(draw, _harm_bound(bundle), rate, seed=seed, most_rows=most_rows)

    def other(detector: DriftDetector) -> Alarm:
        def alarm(before: Draw, draw: Draw, seed: int) -> int:
            rows = bundle.manifest.drift.window_rows
            return rows_to_any_alarm(detector, before, draw, before_rows=rows, most_rows=most_rows, seed=seed)

        return alarm

    own: dict[str, Alarm] = {"score_evidence": score_evidence, "score_ks": score_ks, FEATURE_MMD: mmd, HARM: harm}
    settings = Settings(rows_between_false_alarms=rate)
    there = {detector.name: detector for detector in build_drift_detectors(bundle, settings)}
    return {name: alarm for name, alarm in own.items() if name in there} | {
        name: other(detector) for name, detector in there.items() if name not in own
    }


def _harm_bound(bundle: Bundle) -> float:
    assert bundle.error_probability is not None
    return bound_of(bundle.error_probability, Settings())


def _settings(bundle: Bundle, detector: str, most_rows: int, rate: int) -> dict[str, Any]:
    if detector == HARM:
        return {"bound": _harm_bound(bundle), "rate": rate, "most_rows": most_rows}
    return {
        "window_rows": FEATURE_WINDOW_ROWS if detector == FEATURE_MMD else bundle.manifest.drift.window_rows,
        "rows_between_false_alarms": rate,
        "most_rows": most_rows,
    }


def _rows(group: Group, detector: str) -> Rows:
    """The detector's input."""
    if detector in SCORES_ALONE:
        return group.scores
    if detector == HARM:
        assert group.error_probability is not None
        return group.error_probability
    if detector != FEATURE_MMD:
        return stream(group.scores, group.features)
    assert group.features is not None
    return group.features


def mixture(clean: Rows, strangers: Rows, share: float, *, distinct: bool) -> Draw:
    """Draws from a mixture of both groups.

    With `distinct`, no row occurs twice in one draw if there are enough rows.
    """

    def some(random: np.random.Generator, group: Rows, rows: int) -> Rows:
        drawn: Rows = group[random.choice(len(group), rows, replace=not distinct or rows > len(group))]
        return drawn

    def draw(random: np.random.Generator, rows: int) -> Rows:
        strange = random.random(rows) < share
        drawn = np.empty((rows, *clean.shape[1:]), clean.dtype)
        drawn[~strange] = some(random, clean, int((~strange).sum()))
        drawn[strange] = some(random, strangers, int(strange.sum()))
        return drawn

    return draw


def _streams(alarm: Alarm, before: Draw, draw: Draw, seeds: range) -> Arrays:
    return {"rows": np.array([alarm(before, draw, seed) for seed in seeds])}
