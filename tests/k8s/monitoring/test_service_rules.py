"""The alerts on a service at work, by promtool: each fires when it should, no minute before, and not on a near miss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.k8s.monitoring.scenario import (
    Life,
    Series,
    check,
    check_alert_text,
    check_alerts,
    counter,
    gauge,
    histogram,
    replica,
)

TWO_HOURS = range(121)
LONG: Life = TWO_HOURS
ENDED: Life = [*range(21), *[None] * 100]
SILENT: Life = [min(minute, 20) for minute in TWO_HOURS]
ONCE: Life = [int(minute >= 10) for minute in range(31)]
FAST = {"1.0": 198, "2.5": 198, "+Inf": 200}
SLOW = {"1.0": 197, "2.5": 200, "+Inf": 200}
SCORE = {"route": "/score"}


@dataclass(frozen=True)
class Fires:
    """What makes an alert fire, from `minute` on, and what it says then."""

    replicas: tuple[Series, ...]
    minute: int
    severity: str
    summary: str
    description: str
    labels: tuple[tuple[str, str], ...] = (("job", "harmgauge"), ("model", "m"))


def at_replica(**more: str) -> tuple[tuple[str, str], ...]:
    return tuple({"job": "harmgauge", "instance": "a", **more}.items())


def from_minute(minute: int, before: float, after: float) -> list[float]:
    return [before if now < minute else after for now in range(31)]


def rejected(reason: str, each_minute: int, life: Life = range(31)) -> Series:
    return counter("harmgauge_rejected_total", each_minute, life=life, reason=reason)


def requests(each_minute: int) -> Series:
    return counter("harmgauge_requests_total", each_minute, route="/score", status="200")


def detected(instance: str, detector: str) -> Series:
    values = from_minute(10, 0, 1)
    return gauge("harmgauge_drift_detected", values, instance=instance, model="m", detector=detector)


FIRES = {
    "HarmgaugeFlaggedShare": Fires(
        (replica("a", flagged=7),),
        16,
        "warning",
        "Too many inputs of m are flagged",
        "17.5% of the inputs of the last 10 minutes were flagged: more than twice the share of the reference, and more "
        "than chance gives.",
    ),
    "HarmgaugeFeatureDrift": Fires(
        (replica("a"), replica("b"), detected("a", "feature_mmd"), gauge("harmgauge_drift_detected", 0, instance="b")),
        10,
        "warning",
        "The features of m's inputs have changed",
        "On 1 replicas the classifier's features no longer look like the reference's (kernel MMD). The scores need not "
        "have changed: it may be another kind of input rather than a harmful one.",
    ),
    "HarmgaugeNonFiniteScores": Fires(
        (replica("a"), rejected("non_finite_score", 3, ONCE)),
        10,
        "warning",
        "The graph of m overflows",
        "About 3 requests of the last 15 minutes were refused, for the graph gave scores that are not finite.",
    ),
    "HarmgaugeNoTraffic": Fires(
        (replica("a", life=SILENT),),
        50,
        "warning",
        "Nothing is sent to m any more",
        "No input was scored for 30 minutes, though there were some within the day. Drift cannot be seen without "
        "traffic.",
    ),
    "HarmgaugeLatency": Fires(
        (replica("a"), histogram("harmgauge_request_seconds", SLOW, **SCORE)),
        11,
        "warning",
        "m answers slowly",
        "One request in a hundred takes longer than 1.5s; 1 s is the limit.",
    ),
    "HarmgaugeOverload": Fires(
        (replica("a"), requests(2000), rejected("queue_full", 20), rejected("deadline_passed", 10)),
        6,
        "critical",
        "m is overloaded",
        "1.5% of the requests get no score, for the queue is full or their deadline passes.",
    ),
    "HarmgaugeLongQueue": Fires(
        (replica("a"), histogram("harmgauge_queue_seconds", {"0.5": 80, "1.0": 100, "+Inf": 100})),
        11,
        "warning",
        "Requests to m wait long for a worker",
        "One request in ten waits longer than 750ms before its inference begins. If the load grows, requests will be "
        "refused next.",
    ),
    "HarmgaugeErrors": Fires(
        (replica("a"), rejected("inference_failed", 2, ONCE), rejected("internal", 1, ONCE)),
        10,
        "warning",
        "m fails on requests",
        "About 3 requests of the last 15 minutes were answered with a 500 that is not the client's doing.",
    ),
    "HarmgaugeCaptureFails": Fires(
        (replica("a"), counter("harmgauge_capture_write_failures_total", 2)),
        6,
        "warning",
        "Flagged inputs of m are not kept",
        "HARMGAUGE_CAPTURE_DIR cannot be written, or not fast enough: flagged inputs are dropped, or will be once the "
        "queue is full.",
    ),
    "HarmgaugeNotAlive": Fires(
        (replica("a"), gauge("harmgauge_alive", from_minute(10, 1, 0), instance="a", model="m")),
        12,
        "critical",
        "A replica of harmgauge wants a restart",
        "On a an inference of m hangs, its thread has died, or its graph fails on every input; nothing starts the "
        "process anew.",
        at_replica(model="m"),
    ),
    "HarmgaugeNotReady": Fires(
        (replica("b"), gauge("up", [*[1] * 10, *[0, 1] * 10, 0], instance="a"), gauge("up", 1, instance="b")),
        13,
        "warning",
        "A replica of harmgauge comes and goes",
        "a fell out of service or came back 4 times in half an hour.",
        at_replica(),
    ),
    "HarmgaugeDown": Fires(
        (replica("b"), gauge("up", 0, instance="a"), gauge("up", 1, instance="b")),
        5,
        "warning",
        "A replica of harmgauge is down",
        "a of job harmgauge cannot be scraped.",
        at_replica(),
    ),
    "HarmgaugeAbsent": Fires(
        (replica("a", life=ENDED), replica("b", life=ENDED)),
        31,
        "critical",
        "Nothing is known of harmgauge",
        "No replica is scraped. No drift will be seen, and no other alert of harmgauge can fire.",
        (),
    ),
    "HarmgaugeBundleMismatch": Fires(
        (replica("a", life=LONG), replica("b", life=LONG, bundle="y")),
        30,
        "warning",
        "Replicas of m serve different bundles",
        "2 bundles or precisions are in service at once: scores and flags depend on which replica answers.",
    ),
}


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
    """Else one row would do, and rows without any flag would divide by nothing."""
    never = {series: values for series, values in replica("a", flagged=1).items() if "flagged_ratio" not in series}
    never |= gauge("harmgauge_reference_flagged_ratio", 0, instance="a", model="m")
    check(tmp_path, never, values={"fleet:harmgauge_adversarial_per_instances:threshold10m": None})
    check_alerts(tmp_path, never, minute=30, fired=set())
