"""The detector `harm`: latched, counted once per client, saved, and configured by settings that are checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.load import Bundle
from harmgauge.drift import harm, harm_bound
from harmgauge.drift import harm_evidence as evidence
from harmgauge.drift.from_bundle import build_drift_detectors
from harmgauge.drift.harm import Harm
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.recent_clients import MEMORY_REQUESTS
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.drift.store import Store
from harmgauge.errors import SettingsError
from harmgauge.inference.caller import Name
from harmgauge.settings import Settings
from tests.support.harm_streams import BASE, BOUND, DROP, chances

START = datetime(2026, 1, 1, tzinfo=UTC)
CALIBRATED = ErrorProbability(
    slope=-1, intercept=0, base=BASE, base_upper=0.075, kappa=0.05, rows=5000, copies=4, target="wrong"
)


def detector(bound: float = BOUND, between: int = 100_000, now: Callable[[], datetime] | None = None) -> Harm:
    return Harm(BASE, bound, 5000, between) if now is None else Harm(BASE, bound, 5000, between, now)


def blocks(mean: float, rows: int, seed: int, client: Name | None = None) -> Blocks:
    p = chances(np.random.default_rng(seed), rows, mean).astype(np.float32)
    return Blocks(np.zeros(rows), np.ones(rows, np.intp), (client,) * rows, error_probability=p)


def state(of: Harm) -> DriftState:
    return asyncio.run(of.state())


def test_an_alarm_stays_until_it_is_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    clock = [START]
    found = detector(now=lambda: clock[0])
    begun = state(found)
    assert (begun.state, begun.statistic, begun.p_value, begun.rows, begun.threshold) == ("ok", 0, None, 0, 100_000)
    assert begun.reference_rows == 5000
    assert begun.details["accuracy_drop"] == pytest.approx(DROP)
    assert begun.details["accuracy_limit"] == pytest.approx(1 - BOUND)
    found.observe(blocks(BASE, 2000, 0))
    assert (state(found).state, state(found).since) == ("ok", START)
    clock[0] = START + timedelta(hours=1)
    for seed in range(2):
        found.observe(blocks(0.4, 300, seed))
    alarm = state(found)
    assert (alarm.state, alarm.since, alarm.rows, alarm.total_rows) == ("drifting", clock[0], 2600, 2600)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("harm is drifting: the estimate of accuracy has fallen by more than 0.02, below 0.91;")
    clock[0] = START + timedelta(hours=2)
    found.observe(blocks(0.01, 5000, 2))
    after = state(found)
    assert after.statistic is not None
    assert after.statistic < 100_000 <= float(str(after.details["highest"]))
    assert (after.state, after.since) == ("drifting", START + timedelta(hours=1)), "what it was is not forgotten"
    found.reset()
    fresh = state(found)
    assert (fresh.state, fresh.statistic, fresh.rows, fresh.since) == ("ok", 0, 0, clock[0])
    assert fresh.details["highest"] == 0


def test_one_feed_or_many_is_the_same_evidence() -> None:
    whole = blocks(0.15, 700, 0)
    at_once, piecewise = detector(), detector()
    at_once.observe(whole)
    for start in range(0, 700, 13):
        kept = np.zeros(700, bool)
        kept[start : start + 13] = True
        piecewise.observe(whole.only(kept))
    assert state(piecewise).statistic == pytest.approx(state(at_once).statistic, rel=1e-9)
    np.testing.assert_allclose(piecewise.logs, at_once.logs, rtol=1e-9)
    before = at_once.logs
    copy = before.copy()
    at_once.reset()
    at_once.observe(whole)
    np.testing.assert_array_equal(before, copy)
    assert (at_once.logs > before).all(), "counters go on over an acknowledgement"


def test_a_client_with_a_name_counts_once_in_a_while() -> None:
    found, anonymous = detector(), detector()
    name: Name = ("key", "camera-7")
    found.observe(blocks(0.4, 400, 0, name))
    assert state(found).rows == 1, "one that sends the same again and again proves nothing by it"
    anonymous.observe(blocks(0.4, 400, 0))
    assert state(anonymous).state == "drifting"
    found.observe(blocks(BASE, MEMORY_REQUESTS, 1))
    found.observe(blocks(0.4, 2, 2, name))
    assert state(found).rows == MEMORY_REQUESTS + 2, "after this many others it counts again"


def test_rows_without_p_are_no_rows() -> None:
    found = detector()
    before = found.version
    found.observe(Blocks.of(np.zeros(50), 1))
    assert (state(found).rows, found.version) == (0, before)


@pytest.mark.parametrize(
    ("bound", "between", "message"),
    [
        (1.0, 1000, "below 0; expected above 0"),
        (1e-7, 1000, "expected above 0 and at most 0.999999"),
        (0.1, 10, "few"),
    ],
)
def test_an_alarm_that_makes_no_sense_is_refused(bound: float, between: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector(bound, between)


# Settings.


def settings(**given: Any) -> Settings:
    return Settings(bundle=Path("unused"), **given)


def calibrated(bundle: Bundle, found: ErrorProbability | str) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"error_probability": found}))


def test_the_drop_and_the_floor_give_the_bound(caplog: pytest.LogCaptureFixture) -> None:
    assert harm_bound.bound_of(CALIBRATED, settings()) == BASE + 0.02
    assert harm_bound.bound_of(CALIBRATED, settings(accuracy_drop=0.1)) == BASE + 0.1
    assert harm_bound.bound_of(CALIBRATED, settings(accuracy_floor=0.8)) == pytest.approx(0.2)
    assert not caplog.records
    assert harm_bound.bound_of(CALIBRATED, settings(accuracy_drop=0.003)) == 0.075
    assert "is raised from 0.003 to 0.005: the bundle was calibrated on only 5000 rows" in caplog.text
    few = CALIBRATED.model_copy(update={"base_upper": 0.11, "rows": 100})
    assert harm_bound.bound_of(few, settings()) == 0.11


@pytest.mark.parametrize("floor", [0.95, 0.926])
def test_a_floor_above_clean_traffic_is_refused(floor: float) -> None:
    with pytest.raises(
        SettingsError, match=rf"FLOOR={floor} would raise the alarm on clean .* 0.93, .* above 0.925: set"
    ):
        harm_bound.bound_of(CALIBRATED, settings(accuracy_floor=floor))


def test_drop_and_floor_together_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"DROP=0.02 and HARMGAUGE_ACCURACY_FLOOR=0.9 are both set: unset one"):
        harm_bound.check_settings(settings(accuracy_drop=0.02, accuracy_floor=0.9))


@pytest.mark.parametrize("given", [{"accuracy_drop": 0.05}, {"accuracy_floor": 0.5}])
def test_an_owner_who_asks_for_the_alarm_does_not_get_silence(image_bundle: Bundle, given: dict[str, float]) -> None:
    without = calibrated(image_bundle, "no second network saw disturbed rows")
    (variable,) = given
    with pytest.raises(SettingsError, match=rf"{variable.upper()} is set, .* saw disturbed rows\): unset HARMGAUGE_"):
        harm.from_bundle(without, settings(**given))
    assert harm.from_bundle(without, settings()) is None
    assert "harm" not in [one.name for one in build_drift_detectors(without, settings())]


def test_the_bundle_makes_the_detector(image_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    detectors = build_drift_detectors(calibrated(image_bundle, CALIBRATED), settings(accuracy_floor=0.85))
    (found,) = [one for one in detectors if isinstance(one, Harm)]
    assert "harm raises the alarm if the estimate of accuracy falls below 0.85, by more than 0.08" in caplog.text
    assert state(found).rows_between_false_alarms == image_bundle.manifest.drift.rows_between_false_alarms


def test_a_classifier_that_is_never_right_has_no_accuracy_to_lose(
    image_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """It can still be served, unless a setting requests the alarm."""
    hopeless = calibrated(image_bundle, CALIBRATED.model_copy(update={"base": 0.99, "base_upper": 0.995}))
    assert harm.from_bundle(hopeless, settings()) is None
    assert "hardly ever right" in caplog.text
    with pytest.raises(
        SettingsError, match="HARMGAUGE_ACCURACY_DROP or .*: the alarm would be raised at .* below -0.04"
    ):
        harm.from_bundle(hopeless, settings(accuracy_drop=0.05))


# State.


def saved(of: Harm) -> dict[str, Any]:
    return {name: np.array(array) for name, array in of.dump().items()}


def test_it_goes_on_where_it_was_saved() -> None:
    whole = blocks(0.2, 200, 0)
    first = np.arange(200) < 120
    straight, before, after = detector(), detector(), detector()
    straight.observe(whole)
    before.observe(whole.only(first))
    after.restore(saved(before))
    assert state(after) == replace(state(before), since=state(after).since)
    after.observe(whole.only(~first))
    assert state(after).statistic == pytest.approx(state(straight).statistic, rel=1e-9)


def test_evidence_against_another_bound_is_none(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The drop was changed: this alarm begins anew, and the other detectors continue."""
    caplog.set_level(logging.INFO)
    reference = np.sort(np.random.default_rng(0).normal(size=200))

    def monitor(bound: float) -> Monitor:
        return Monitor([ScoreKs(reference, 100, 10_000), detector(bound)])

    before, after, same = monitor(BOUND), monitor(0.12), monitor(BOUND)
    before.observe(blocks(0.4, 300, 0))
    asyncio.run(Store(tmp_path, "key", before).save())
    for restored in (after, same):
        Store(tmp_path, "key", restored).restore()
    assert asyncio.run(same.states())["harm"].state == "drifting"
    states = asyncio.run(after.states())
    assert (states["harm"].state, states["harm"].rows, states["score_ks"].rows) == ("ok", 0, 100)
    assert "harm starts again: its saved evidence was for an accuracy below 0.91, but the limit is now 0.88" in (
        caplog.text
    )


def test_a_state_that_is_older_than_harm_restores_the_rest(tmp_path: Path) -> None:
    reference = np.sort(np.random.default_rng(0).normal(size=200))
    old = Monitor([ScoreKs(reference, 100, 10_000)])
    old.observe(blocks(0.4, 60, 0))
    asyncio.run(Store(tmp_path, "key", old).save())
    new = Monitor([ScoreKs(reference, 100, 10_000), detector()])
    Store(tmp_path, "key", new).restore()
    states = asyncio.run(new.states())
    assert (states["score_ks"].rows, states["harm"].rows) == (60, 0)
    assert not list(tmp_path.glob("*.broken"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wealth", np.full(6, -1.0)), ("wealth", np.full(6, np.nan)), ("wealth", np.full(6, 1e300)),
        ("wealth", np.ones(5)), ("wealth", np.zeros(6)), ("wealth", np.ones(6, np.float32)),
        ("rows", np.array(-1)), ("rows", np.array(0)), ("rows", np.array(2.0)), ("rows", np.array(2**60)),
        ("bound", np.array(0.0)), ("bound", np.array(np.nan)), ("bound", np.array(1.5)),
        ("highest", np.array(0.0)), ("highest", np.array(np.inf)), ("drifting", np.array(1)),
        ("since", np.array(-1.0)), ("since", np.array(1e18)),
    ],
)  # fmt: skip
def test_numbers_that_it_never_saved_are_refused(key: str, value: np.ndarray[Any, Any]) -> None:
    before, after = detector(), detector()
    before.observe(blocks(0.4, 300, 0))
    with pytest.raises(ValueError, match=f"{key}|have led to"):
        after.restore(saved(before) | {key: value})
    assert (state(after).rows, state(after).statistic) == (0, 0)
    assert evidence.can_have_led_to(saved(before)["wealth"], 300)
