"""The row about accuracy, estimated without labels, and the alarm on harm: the row that an owner should read first."""

from __future__ import annotations

from monitoring.panels import Panel, Query, band, lines, log_lines
from monitoring.selectors import of_fleet, of_replicas

_BLIND = (
    "The estimate is too high for inputs far from every disturbance that the bundle was calibrated on (for example, "
    "rotated or inverted images) and for attacks that the bundle does not detect."
)


def of_window(figure: str, window: str) -> str:
    """A figure of the fleet's accuracy over a window of the rules."""
    series = of_fleet(f"fleet_window:harmgauge_accuracy:{figure}")
    return f'{series.removesuffix("}")}, window="{window}"}}'


def panels() -> list[Panel]:
    harm = 'detector="harm"'
    base = Query(of_fleet("fleet:harmgauge_accuracy_base:avg"), "reference rows")
    return [
        band(
            lines(
                "Estimated accuracy",
                "percentunit",
                "Accuracy of all replicas over the last 10 minutes, estimated without labels. The band is the 90 % "
                f"interval, from 100 rows on; the dotted line is the accuracy at calibration. {_BLIND} If it falls, "
                "see HarmgaugeHarm in the runbook.",
                *(Query(of_window(figure, "10m"), figure) for figure in ("estimate", "lower", "upper")),
                base,
                width=12,
            ),
            "lower",
            "upper",
        ).max(1),
        log_lines(
            "Evidence of harm",
            "short",
            "Evidence that the estimated accuracy has fallen by more than the tolerance: from the rows of all replicas "
            "together, and from each replica's own. At the dashed line, HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS, "
            "HarmgaugeHarm pages somebody. The evidence stays below it as long as a change costs no accuracy.",
            Query(f"clamp_min({of_fleet('fleet:harmgauge_harm:evidence')}, 1)", "fleet"),
            Query(f"clamp_min({of_replicas('harmgauge_drift_statistic', harm)}, 1)", "{{instance}}"),
            Query(of_fleet("fleet:harmgauge_harm:rows_between_false_alarms"), "alarm"),
            width=12,
        ),
        lines(
            "Estimated accuracy of the last hour and day",
            "percentunit",
            "Accuracy of all replicas. Slow changes show here: accuracy may creep past the tolerance over weeks. "
            f"{_BLIND}",
            Query(of_window("estimate", "1h"), "1 hour"),
            Query(of_window("estimate", "1d"), "1 day"),
            base,
        ).max(1),
        lines(
            "Estimated accuracy by predicted class",
            "percentunit",
            "Accuracy on the inputs predicted as each class, from the replicas' windows. If one class falls alone, "
            "look at the inputs that end up in it. Empty for more than 100 classes; a class needs 20 rows in a window. "
            f"{_BLIND}",
            Query(f"avg by (class) ({of_replicas('harmgauge_class_accuracy')})", "{{class}}"),
        ).max(1),
        lines(
            "Estimated accuracy of each replica",
            "percentunit",
            "Accuracy over each replica's own window (HARMGAUGE_WINDOW_ROWS). If one replica is below the others, its "
            f"clients send different inputs, or its host or bundle differs. {_BLIND}",
            Query(of_replicas("harmgauge_accuracy", 'bound="estimate"'), "{{instance}}"),
        ).max(1),
    ]
