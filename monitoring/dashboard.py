"""The Grafana dashboard, put together."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync, Panel

from monitoring import accuracy, drift, replicas, scores, traffic
from monitoring.events import events
from monitoring.variables import variables

UID = "harmgauge"


def build() -> Dashboard:
    """Every panel in its row."""
    board = (
        dashboard.Dashboard("harmgauge")
        .uid(UID)
        .description("Accuracy, harm and drift beside a classifier. Made by python -m monitoring; do not edit.")
        .tags(["harmgauge", "drift"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(list(variables()))
        .annotations(list(events()))
    )
    rows: dict[str, Sequence[Builder[Panel]]] = {
        "Accuracy, estimated without labels": accuracy.panels(),
        "Now": traffic.now(),
        "Drift, of each replica": drift.of_each_replica(),
        "Drift, of the fleet": drift.of_the_fleet(),
        "Scores and classes": scores.panels(),
        "Traffic": traffic.panels(),
        "Replicas and bundles": replicas.panels(),
    }
    for title, panels in rows.items():
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    made = board.build()
    for number, placed in enumerate(made.panels or [], 1):
        placed.id_val = number
    return made


def text() -> str:
    """The text of the committed file."""
    return json.dumps(build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
