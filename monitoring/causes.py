"""The row of sources and columns: which of them have changed."""

from __future__ import annotations

from monitoring.drift import ALARM_STATES
from monitoring.panels import Panel, Query, lines, states
from monitoring.selectors import of_replicas, rate


def panels() -> list[Panel]:
    return [
        states(
            "Drifting sources",
            "Sources (X-Harmgauge-Source) whose evidence has reached the alarm, until they are acknowledged. One "
            "source alone points to its camera, site or client; many at once point to the inputs in general. See "
            "HarmgaugeSourceDrift in the runbook, and GET /drift/sources for the evidence.",
            Query(f"max by (source) ({of_replicas('harmgauge_source_drifting')})", "{{source}}"),
            states=ALARM_STATES,
            width=12,
        ),
        states(
            "Drifting columns",
            "Columns, and the predicted class, whose values have changed, until they are acknowledged. See "
            "HarmgaugeColumnDrift in the runbook, and GET /drift/columns for the change in words.",
            Query(f"max by (column) ({of_replicas('harmgauge_column_drifting')})", "{{column}}"),
            states=ALARM_STATES,
            width=12,
        ),
        lines(
            "Sources",
            "short",
            "Sources that are monitored now, and those that drift. At HARMGAUGE_MAX_SOURCES, the least active ones "
            "without evidence leave: raise it if real sources do not fit.",
            Query(f"max({of_replicas('harmgauge_sources')})", "monitored"),
            Query(f"max({of_replicas('harmgauge_sources_drifting')})", "drifting"),
            width=12,
        ).min(0),
        lines(
            "Missing and out of range",
            "rowsps",
            "Values per second that are missing, or outside the range of the reference, by column. A step shows when a "
            "pipeline, a unit or a sensor changed; a steady rate may be that of the reference.",
            Query(_most("harmgauge_values_missing_total"), "{{column}} missing"),
            Query(_most("harmgauge_values_out_of_range_total"), "{{column}} out of range"),
            width=12,
        ).min(0),
    ]


def _most(counter: str) -> str:
    """The columns with the most per second: there may be hundreds."""
    return f"topk(10, sum by (column) ({rate(of_replicas(counter))}))"
