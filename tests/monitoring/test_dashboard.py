"""The dashboard as a document; tests/e2e/test_monitoring.py checks that its expressions have data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.__main__ import files
from tests.conftest import ROOT
from tests.support.prometheus import RULES

DASHBOARD: dict[str, Any] = json.loads((ROOT / "k8s" / "monitoring" / "dashboards" / "harmgauge.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize(("path", "text"), files().items(), ids=[path.name for path in files()])
def test_the_committed_file_is_what_the_generator_gives(path: Any, text: str) -> None:
    assert path.read_text() == text, "run python -m monitoring, and commit what it writes"


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_every_panel_says_what_it_shows_in_which_unit_and_what_to_do(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 60
    if panel["type"] == "text":
        assert panel["options"]["content"]
        return
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        assert 'model="$model"' in target["expr"]


def test_titles_and_ids_are_unique_and_panels_do_not_overlap() -> None:
    titles = [panel["title"] for panel in DASHBOARD["panels"] if panel["gridPos"]["h"] > 4]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_the_alerts_that_descriptions_name_exist() -> None:
    named = set(re.findall(r"Harmgauge\w+", json.dumps([panel["description"] for panel in PANELS])))
    alerts = set(re.findall(r"- alert: (\w+)", RULES))
    assert named
    assert named <= alerts


def test_the_alarms_thresholds_are_drawn() -> None:
    """Each in its own panel, on the quantity that decides the alarm."""
    drawn = json.dumps(PANELS)
    for name in ("drift_p_value_threshold", "drift_statistic_threshold", "ks_p_value_threshold10m", "threshold10m"):
        assert name in drawn
    (p_value,) = [panel for panel in PANELS if panel["title"] == "p-value"]
    assert p_value["fieldConfig"]["defaults"]["custom"]["scaleDistribution"] == {"type": "log", "log": 10}


def test_grafanas_own_model_knows_every_key_but_those_of_prometheus_annotations() -> None:
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(DASHBOARD), cls=JSONEncoder))
    dropped = {re.sub(r"\[\d+\]", "", path) for path in lost(DASHBOARD, read)}
    assert dropped == {f".annotations.list.{key}" for key in ("titleFormat", "textFormat", "step")}


def lost(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """The paths where something of `written` is missing in `read`, which may have more."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from lost(value, read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"]
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for index, (value, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(value, other, f"{path}[{index}]")
    elif written != read:
        yield path
