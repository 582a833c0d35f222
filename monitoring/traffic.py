"""The rows about traffic: requests, latency, refusals."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat

from monitoring.drift import ALARM_STATES
from monitoring.panels import Panel, Query, buckets, limits, lines, number, stacked, state_number
from monitoring.selectors import SCORING, mean, of_detectors, of_fleet, of_replicas, quantile, rate

_REFUSED = 'reason=~"queue_full|deadline_passed"'


def now() -> list[stat.Panel]:
    """The numbers at the top."""
    requests = f"sum({rate(of_replicas('harmgauge_requests_total', SCORING))})"
    return [
        state_number(
            "Drift",
            "Whether any chosen detector of any chosen replica is alarming. If so, the row Drift of each replica shows "
            "which one.",
            Query(f"max({of_detectors('harmgauge_drift_detected')})", "drift"),
            ALARM_STATES,
        ),
        number(
            "Replicas",
            "short",
            "How many accept requests, of how many are scraped. If there are fewer than expected, see "
            "HarmgaugeNotReady and HarmgaugeDown in the runbook.",
            Query(f"sum({of_replicas('harmgauge_ready')})", "ready"),
            Query(f"count({of_replicas('harmgauge_ready')})", "scraped"),
        ),
        number(
            "Rows per second",
            "rowsps",
            "Inputs scored by all chosen replicas. If there are none, see HarmgaugeNoTraffic in the runbook.",
            Query(f"sum({rate(of_replicas('harmgauge_instances_total'))})", "rows"),
        ),
        number(
            "Share flagged",
            "percentunit",
            "Share of the inputs in the last 10 minutes, over all replicas. The panel of this name below shows what is "
            "normal.",
            Query(of_fleet("fleet:harmgauge_adversarial_per_instances:ratio_rate10m"), "flagged"),
        ),
        limits(
            number(
                "Latency, 99 %",
                "s",
                "One request in a hundred takes longer. After 10 minutes above 1 s, HarmgaugeLatency fires.",
                Query(quantile(0.99, "harmgauge_request_seconds", SCORING), "99 %"),
            ),
            0.5,
            1,
        ),
        limits(
            number(
                "Share refused",
                "percentunit",
                "Requests that got no score because the queue was full or their deadline passed. Above 1 % is "
                "overload: add replicas.",
                Query(f"sum({rate(of_replicas('harmgauge_rejected_total', _REFUSED))}) / ({requests} > 0)", "refused"),
            ),
            0.001,
            0.01,
        ),
    ]


def panels() -> list[Panel]:
    return [
        stacked(
            "Rows scored",
            "rowsps",
            "Inputs per second, by replica. If very uneven, the load balancer keeps long connections on few replicas.",
            Query(f"sum by (instance) ({rate(of_replicas('harmgauge_instances_total'))})", "{{instance}}"),
        ),
        lines(
            "Requests",
            "reqps",
            "Answers per second, by route and status; 499 is a client that disconnected. Many 4xx: a client has "
            "changed. 5xx: the service's log has the reason.",
            Query(
                f"sum by (route, status) ({rate(of_replicas('harmgauge_requests_total'))}) > 0", "{{route}} {{status}}"
            ),
        ),
        lines(
            "Refusals",
            "reqps",
            "Requests answered with an error, by code. queue_full and deadline_passed: overload. inference_failed and "
            "internal: a bug, see the log. The rest: client errors, and the answer says what is wrong.",
            Query(f"sum by (reason) ({rate(of_replicas('harmgauge_rejected_total'))})", "{{reason}}"),
        ),
        lines(
            "Latency",
            "s",
            "Latency of the scoring routes, inside the service. If it rises, the next panel shows whether the queue or "
            "inference is the cause.",
            *(
                Query(quantile(share, "harmgauge_request_seconds", SCORING), f"{share:.0%}")
                for share in (0.5, 0.9, 0.99)
            ),
        ),
        lines(
            "Where the time goes",
            "s",
            "Time waiting for a worker, and time of a run of the graph. A long wait with normal runs: too much "
            "traffic, add replicas. Long runs: a slower or crowded host, or larger batches.",
            Query(quantile(0.99, "harmgauge_queue_seconds"), "queue, 99 %"),
            Query(quantile(0.99, "harmgauge_inference_seconds"), "inference, 99 %"),
            Query(mean("harmgauge_queue_seconds"), "queue, mean"),
            Query(mean("harmgauge_inference_seconds"), "inference, mean"),
        ),
        lines(
            "Rows in the queue",
            "short",
            "Rows accepted but not yet scored. Bursts are fine; a level that persists is overload, and at "
            "HARMGAUGE_MAX_QUEUE_ROWS requests get 429.",
            Query(of_replicas("harmgauge_queue_rows"), "{{instance}}"),
        ).min(0),
        buckets(
            "Rows per run of the graph",
            "short",
            "How full batches are. All in the top row: the graph is saturated. All 1: single inputs, and capacity to "
            "spare.",
            Query(f"sum by (le) (increase({of_replicas('harmgauge_batch_rows_bucket')}[$__rate_interval]))", "{{le}}"),
            axis="rows, up to",
        ),
        lines(
            "Rows per run, mean",
            "short",
            "Grows with the load, up to HARMGAUGE_MAX_BATCH_ROWS. Small batches with a long queue: the graph itself is "
            "slow.",
            Query(mean("harmgauge_batch_rows"), "rows"),
        ).min(0),
    ]
