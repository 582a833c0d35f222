"""The row about accuracy, estimated without labels, and the alarm on harm: the first one for an owner."""

from __future__ import annotations

from monitoring.panels import Panel, Query, band, lines, log_lines
from monitoring.selectors import of_fleet, of_replicas

_BLIND = (
    "It is too high for inputs far from every disturbance that the bundle was calibrated on (turned or inverted "
    "pictures, say) and for attacks that the bundle does not see."
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
                "Accuracy, estimated",
                "percentunit",
                "Of all replicas, over the last 10 minutes, without labels. The band is its 90 % interval, from "
                f"100 rows on; the dotted line the accuracy at calibration. {_BLIND} When it falls: runbook, "
                "HarmgaugeHarm.",
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
            "That the estimate of accuracy has fallen by more than the tolerance: of all replicas' rows together, and "
            "of each replica's own. At the dashed line, the rows asked for between two false alarms, HarmgaugeHarm "
            "pages somebody. It stays below it as long as a change costs no accuracy.",
            Query(f"clamp_min({of_fleet('fleet:harmgauge_harm:evidence')}, 1)", "fleet"),
            Query(f"clamp_min({of_replicas('harmgauge_drift_statistic', harm)}, 1)", "{{instance}}"),
            Query(of_fleet("fleet:harmgauge_harm:rows_between_false_alarms"), "alarm"),
            width=12,
        ),
        lines(
            "Accuracy of the last hour and day, estimated",
            "percentunit",
            f"Of all replicas. Slow changes show here: the tolerance may be crept past in weeks. {_BLIND}",
            Query(of_window("estimate", "1h"), "1 hour"),
            Query(of_window("estimate", "1d"), "1 day"),
            base,
        ).max(1),
        lines(
            "Accuracy by predicted class, estimated",
            "percentunit",
            "Of the inputs that were taken for each class, by the replicas' windows. One class that falls alone: look "
            "at the inputs that end up there. Empty above 100 classes; a class needs 20 rows in a window. "
            f"{_BLIND}",
            Query(f"avg by (class) ({of_replicas('harmgauge_class_accuracy')})", "{{class}}"),
        ).max(1),
        lines(
            "Accuracy of each replica, estimated",
            "percentunit",
            "By its own window, HARMGAUGE_WINDOW_ROWS. One replica below the others: its clients send other inputs, or "
            f"its host or bundle is not like theirs. {_BLIND}",
            Query(of_replicas("harmgauge_accuracy", 'bound="estimate"'), "{{instance}}"),
        ).max(1),
    ]
