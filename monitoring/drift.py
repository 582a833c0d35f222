"""The drift rows: the result of each detector, per replica and fleet-wide."""

from __future__ import annotations

from monitoring.panels import Panel, Query, State, lines, log_lines, states
from monitoring.selectors import of_detectors, of_fleet, of_replicas

SMALLEST_P = "1e-30"
"""A logarithmic axis has no 0; smaller p-values are drawn as this."""

ALARM_STATES = (State(0, "no alarm", "green"), State(1, "alarm", "red"))
DIRECTIONS = (State(1, "higher", "red"), State(-1, "lower", "blue"))


def of_each_replica() -> list[Panel]:
    evidence, ks = 'detector="score_evidence"', 'detector="score_ks"'
    return [
        log_lines(
            "p-value",
            "none",
            "p-value of each detector's window against the reference, with the p-value at which it alarms (dashed). "
            f"Below .05 now and then is normal; below the dashed line is drift. Drawn no lower than {SMALLEST_P}. "
            "If it falls, look at the share flagged and the direction, then see HarmgaugeFleetDriftKs in the runbook.",
            Query(f"clamp_min({of_detectors('harmgauge_drift_p_value')}, {SMALLEST_P})", "{{detector}} {{instance}}"),
            Query(f"max by (detector) ({of_detectors('harmgauge_drift_p_value_threshold')})", "{{detector}} alarm"),
            width=12,
        ),
        lines(
            "KS statistic",
            "none",
            "D, the largest distance between the distribution functions of the window's scores and the reference's, 0 "
            "to 1. Above the dashed line is drift; how far above shows how much of the traffic has changed. In gaps "
            "the window is not full yet.",
            Query(of_replicas("harmgauge_drift_statistic", ks), "{{instance}}"),
            Query(f"max({of_replicas('harmgauge_drift_statistic_threshold', ks)})", "alarm"),
            width=12,
        ).min(0),
        log_lines(
            "Evidence",
            "short",
            "Evidence of score_evidence against 'nothing has changed'; dashed: HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS. A "
            "climb over several powers of ten is real; the top row shows whether it does harm. It stays high until "
            "POST /admin/drift/reset.",
            Query(f"clamp_min({of_replicas('harmgauge_drift_statistic', evidence)}, 1)", "{{instance}}"),
            Query(f"max({of_replicas('harmgauge_drift_statistic_threshold', evidence)})", "alarm"),
            width=12,
        ),
        lines(
            "Share flagged",
            "percentunit",
            "Share of the inputs in the last 10 minutes, over all replicas. Without drift it is that of the reference; "
            "above the dashed line, HarmgaugeFlaggedShare counts it as more than chance. If it rises, compare the "
            "class mix and the score quantiles, and find out which client or camera changed.",
            Query(of_fleet("fleet:harmgauge_adversarial_per_instances:ratio_rate10m"), "flagged"),
            Query(of_fleet("fleet:harmgauge_adversarial_per_instances:expected"), "of the reference"),
            Query(of_fleet("fleet:harmgauge_adversarial_per_instances:threshold10m"), "alarm"),
            width=12,
        ).min(0),
        states(
            "Alarms",
            "When each detector raised its own alarm. One replica alone points to its clients or its host; all of "
            "them, to the inputs.",
            Query(of_detectors("harmgauge_drift_detected"), "{{detector}} {{instance}}"),
            states=ALARM_STATES,
        ),
        states(
            "Direction",
            "Direction in which the scores moved. Higher is towards harm (blur, noise, a broken pipeline, an attack); "
            "lower is towards inputs easier than normal (a covered lens, the same image again and again).",
            Query(of_replicas("harmgauge_drift_direction"), "{{instance}}"),
            states=DIRECTIONS,
        ),
        lines(
            "Design effect of requests",
            "none",
            "1 if the rows of a request are independent, their number if they are all alike. Well above 1, KS and MMD "
            "report drift that is not real: trust the evidence, and have clients name themselves (X-Harmgauge-Client).",
            Query(of_replicas("harmgauge_drift_design_effect"), "{{instance}}"),
            width=4,
        ),
        lines(
            "Rows per detector",
            "short",
            "Rows in the window, or since the detector started. A window that stays short has too little traffic; one "
            "that falls to 0 was reset, or its replica restarted without HARMGAUGE_STATE_DIR.",
            Query(of_detectors("harmgauge_drift_window_rows"), "{{detector}} {{instance}}"),
            width=4,
        ),
    ]


def of_the_fleet() -> list[Panel]:
    return [
        lines(
            "D of the fleet",
            "none",
            "KS distance between all replicas' scores in the last 10 minutes and the reference, for each bundle. It "
            "shows changes that no single window has enough rows to show. Judge it by the p-value beside it: with few "
            "rows, D is large by chance.",
            Query(of_fleet("fleet_bundle:harmgauge_score:ks_statistic10m"), "{{bundle}}"),
        ).min(0),
        lines(
            "log10 of the fleet's p-value",
            "none",
            "-6 means p = 0.000001; at the dashed line HarmgaugeFleetDriftKs fires. If it falls below, follow the "
            "runbook: is the evidence growing too, or is the traffic one-sided?",
            Query(of_fleet("fleet_bundle:harmgauge_score:ks_log10_p_value10m"), "{{bundle}}"),
            Query(
                f"log10({of_fleet('fleet_bundle:harmgauge_score:ks_p_value_threshold10m')})",
                "alarm {{bundle}}",
            ),
        ),
        log_lines(
            "Evidence of the fleet",
            "short",
            "Sum of the replicas' evidence of a change; at the dashed line HarmgaugeFleetDriftEvidence fires. It pages "
            "only if the bundle cannot detect harm. Acknowledge it at every replica once the cause is gone.",
            Query(f"clamp_min({of_fleet('fleet:harmgauge_drift_evidence:sum')}, 1)", "evidence"),
            Query(of_fleet("fleet:harmgauge_rows_between_false_alarms:max"), "alarm"),
        ),
    ]
