"""The alerts on a working service, by promtool: each fires when it should, not a minute earlier, and not on a near
miss.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.firing import ENDED, FIRES, LONG, ONCE, SCORE, SLOW, TWO_HOURS, Fires, detected, rejected, requests
from tests.support.scenario import Series, check, check_alert_text, check_alerts, counter, gauge, histogram, replica

FAST = {"1.0": 198, "2.5": 198, "+Inf": 200}


@pytest.mark.parametrize(("alert", "case"), FIRES.items(), ids=FIRES.keys())
def test_it_fires_alone_in_time_and_says_why(alert: str, case: Fires, tmp_path: Path) -> None:
    check_alerts(tmp_path, *case.replicas, minute=case.minute - 1, fired=set())
    check_alerts(tmp_path, *case.replicas, minute=case.minute, fired={alert})
    check_alert_text(
        tmp_path,
        *case.replicas,
        alert=alert,
        minute=case.minute,
        labels=dict(case.labels) | {"severity": case.severity},
        annotations={
            "summary": case.summary,
            "description": case.description,
            "runbook_url": f"docs/runbook.md#{alert.lower()}",
        },
    )


NEAR_MISSES = {
    "flags as chance gives them": (replica("a", flagged=6),),
    "many flags of few rows": (replica("a", (1, 2, 3, 4), flagged=2),),
    "another detector's alarm": (replica("a"), detected("a", "score_ks"), detected("a", "score_evidence")),
    "a request in two hundred is slow": (replica("a"), histogram("harmgauge_request_seconds", FAST, **SCORE)),
    "a slow look at the metrics": (replica("a"), histogram("harmgauge_request_seconds", SLOW, route="/metrics")),
    "one request in two hundred refused": (replica("a"), requests(200), rejected("queue_full", 1)),
    "half of the requests are wrong": (replica("a"), requests(200), rejected("invalid_instances", 100)),
    "short waits": (replica("a"), histogram("harmgauge_queue_seconds", {"0.5": 91, "1.0": 100, "+Inf": 100})),
    "a few captures were tried again": (
        replica("a"),
        counter("harmgauge_capture_write_failures_total", 3, life=ONCE),
        counter("harmgauge_capture_dropped_total", 0, reason="unwritable"),
    ),
    "a restart that mends it": (
        replica("a"),
        gauge("harmgauge_alive", [*[1] * 28, 0, 0, 1], instance="a", model="m"),
    ),
    "one restart": (replica("a"), gauge("up", [*[1] * 10, 0, *[1] * 20], instance="a")),
    "a few requests refused, of few": (replica("a"), requests(2), rejected("deadline_passed", 2)),
    "down for four minutes": (replica("a"), gauge("up", [*[1] * 10, *[0] * 5, *[1] * 16], instance="a")),
    "another job is down": (replica("a"), gauge("up", 1, instance="a"), gauge("up", 0, instance="a", job="other")),
    "a replica is taken away": (replica("a", life=[*range(16), *[None] * 15]), replica("b")),
}


@pytest.mark.parametrize("replicas", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_a_near_miss_fires_nothing(replicas: tuple[Series, ...], tmp_path: Path) -> None:
    check_alerts(tmp_path, *replicas, minute=30, fired=set())


LONG_NEAR_MISSES = {
    "never any traffic": (replica("a", (0, 0, 0, 0), life=LONG),),
    "a row in a quarter of an hour": (replica("a", (0, 0, 0, 1), life=[minute // 14 for minute in TWO_HOURS]),),
    "a rollout": (
        replica("a", life=[*range(40), *[None] * 81]),
        replica("b", life=[*[None] * 15, *range(106)], bundle="y"),
    ),
    "two models": (replica("a", life=LONG), replica("b", life=LONG, bundle="y", model="other")),
}


@pytest.mark.parametrize("replicas", LONG_NEAR_MISSES.values(), ids=LONG_NEAR_MISSES.keys())
def test_nor_does_it_in_two_hours(replicas: tuple[Series, ...], tmp_path: Path) -> None:
    check_alerts(tmp_path, *replicas, minute=120, fired=set())


def test_absence_is_told_for_as_long_as_it_lasts_and_of_one_model_among_others(tmp_path: Path) -> None:
    gone, firing = replica("a", life=ENDED), 'count(ALERTS{alertname="HarmgaugeAbsent", alertstate="firing"%s})'
    check(tmp_path, gone, minute=120, values={firing % "": 1.0})
    other = replica("b", life=LONG, model="other")
    check_alerts(tmp_path, gone, other, minute=60, fired={"HarmgaugeAbsent"})
    check(tmp_path, gone, other, minute=60, values={firing % ', model="m"': 1.0, firing % ', model="other"': None})


def test_one_flagged_input_that_was_not_kept_is_told(tmp_path: Path) -> None:
    dropped = counter("harmgauge_capture_dropped_total", 1, life=ONCE, reason="queue_full")
    check_alerts(tmp_path, replica("a"), dropped, minute=9, fired=set())
    check_alerts(tmp_path, replica("a"), dropped, minute=10, fired={"HarmgaugeCaptureFails"})


def test_a_flag_that_the_reference_never_gives_is_not_expected_never(tmp_path: Path) -> None:
    """Otherwise one row would suffice, and rows without any flag would divide by zero."""
    never = {series: values for series, values in replica("a", flagged=1).items() if "flagged_ratio" not in series}
    never |= gauge("harmgauge_reference_flagged_ratio", 0, instance="a", model="m")
    check(tmp_path, never, values={"fleet:harmgauge_adversarial_per_instances:threshold10m": None})
    check_alerts(tmp_path, never, minute=30, fired=set())
