"""Series that make each alert about a service fire."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.scenario import Life, Series, counter, gauge, histogram, replica

TWO_HOURS = range(121)
LONG: Life = TWO_HOURS
ENDED: Life = [*range(21), *[None] * 100]
SILENT: Life = [min(minute, 20) for minute in TWO_HOURS]
ONCE: Life = [int(minute >= 10) for minute in range(31)]
SLOW = {"1.0": 197, "2.5": 200, "+Inf": 200}
SCORE = {"route": "/score"}


@dataclass(frozen=True)
class Fires:
    """Series that make an alert fire from `minute` on, and the alert's texts."""

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


def of_column(instance: str, column: str, after: float = 1) -> Series:
    return gauge("harmgauge_column_drifting", from_minute(10, 0, after), instance=instance, model="m", column=column)


FIRES = {
    "HarmgaugeFlaggedShare": Fires(
        (replica("a", flagged=7),),
        16,
        "warning",
        "Too many inputs of m are flagged",
        "17.5% of the inputs in the last 10 minutes were flagged: more than twice the share in the reference, and more "
        "than chance explains.",
    ),
    "HarmgaugeFeatureDrift": Fires(
        (replica("a"), replica("b"), detected("a", "feature_mmd"), gauge("harmgauge_drift_detected", 0, instance="b")),
        10,
        "warning",
        "The features of m's inputs have changed",
        "On 1 replicas the classifier's features no longer match the reference (kernel MMD). The scores may be "
        "unchanged: this may be another kind of input rather than a harmful one.",
    ),
    "HarmgaugeSourceDrift": Fires(
        (
            replica("a"),
            replica("b"),
            gauge("harmgauge_source_drifting", from_minute(10, 0, 1), instance="a", model="m", source="site: door-1"),
        ),
        10,
        "warning",
        "The source site: door-1 of m is drifting",
        "On a replica, its own evidence of harm or of change has reached HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS. It stays "
        "until the source is acknowledged.",
        (("job", "harmgauge"), ("model", "m"), ("source", "site: door-1")),
    ),
    "HarmgaugeColumnDrift": Fires(
        (replica("a"), replica("b"), *(of_column(instance, "age") for instance in "ab"), of_column("a", "pay", 0)),
        10,
        "warning",
        "The column age of m's inputs has changed",
        "On 2 replicas the values of this column are no longer those of the reference, and GET /drift/columns "
        "describes the change. It stays until it is acknowledged.",
        (("job", "harmgauge"), ("model", "m"), ("column", "age")),
    ),
    "HarmgaugeNonFiniteScores": Fires(
        (replica("a"), rejected("non_finite_score", 3, ONCE)),
        10,
        "warning",
        "The graph of m overflows",
        "About 3 requests in the last 15 minutes were refused because the graph gave scores that are not finite.",
    ),
    "HarmgaugeNoTraffic": Fires(
        (replica("a", life=SILENT),),
        50,
        "warning",
        "Nothing is sent to m any more",
        "No input was scored for 30 minutes, although some were within the last day. Drift cannot be seen without "
        "traffic.",
    ),
    "HarmgaugeLatency": Fires(
        (replica("a"), histogram("harmgauge_request_seconds", SLOW, **SCORE)),
        11,
        "warning",
        "m answers slowly",
        "One request in a hundred takes longer than 1.5s; the limit is 1 s.",
    ),
    "HarmgaugeOverload": Fires(
        (replica("a"), requests(2000), rejected("queue_full", 20), rejected("deadline_passed", 10)),
        6,
        "critical",
        "m is overloaded",
        "1.5% of the requests get no score because the queue is full or their deadline passes.",
    ),
    "HarmgaugeLongQueue": Fires(
        (replica("a"), histogram("harmgauge_queue_seconds", {"0.5": 80, "1.0": 100, "+Inf": 100})),
        11,
        "warning",
        "Requests to m wait too long for a worker",
        "One request in ten waits longer than 750ms before its inference begins. If the load grows, requests will be "
        "refused next.",
    ),
    "HarmgaugeErrors": Fires(
        (replica("a"), rejected("inference_failed", 2, ONCE), rejected("internal", 1, ONCE)),
        10,
        "warning",
        "m returns server errors",
        "About 3 requests in the last 15 minutes were answered with a 500 that the service itself caused.",
    ),
    "HarmgaugeCaptureFails": Fires(
        (replica("a"), counter("harmgauge_capture_write_failures_total", 2)),
        6,
        "warning",
        "Flagged inputs of m are not captured",
        "HARMGAUGE_CAPTURE_DIR cannot be written to, or not fast enough: flagged inputs are dropped, or will be once "
        "the queue is full.",
    ),
    "HarmgaugeNotAlive": Fires(
        (replica("a"), gauge("harmgauge_alive", from_minute(10, 1, 0), instance="a", model="m")),
        12,
        "critical",
        "A replica of harmgauge needs a restart",
        "On a an inference of m hangs, its thread has died, or its graph fails on every input, and nothing has "
        "restarted the process.",
        at_replica(model="m"),
    ),
    "HarmgaugeNotReady": Fires(
        (replica("b"), gauge("up", [*[1] * 10, *[0, 1] * 10, 0], instance="a"), gauge("up", 1, instance="b")),
        13,
        "warning",
        "A replica of harmgauge is flapping",
        "a went down or came back 4 times in half an hour.",
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
        "There is no data from harmgauge",
        "No replica is scraped. Drift goes unseen, and no other harmgauge alert can fire.",
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
