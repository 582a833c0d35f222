"""Dashboard and rules against the real Prometheus, which scrapes a real process under various traffic."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT
from tests.support.process import RAW, RunningService, running_service, wait_until
from tests.support.prometheus import RULES, RunningPrometheus, binary, running_prometheus, shortened
from tests.support.toy import instances, toy_bundle

DASHBOARD: dict[str, Any] = json.loads((ROOT / "k8s" / "monitoring" / "dashboards" / "harmgauge.json").read_text())
RULE_EXPRESSIONS = [rule["expr"] for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]

CLEAN_SECONDS = 4
SHORT_WINDOW = "8s"
"""Replaces the minutes of the rules, and the dashboard's own interval."""

CHOSEN = {
    "$__rate_interval": SHORT_WINDOW,
    "$namespace": ".*",
    "$job": ".*",
    "$model": "toy",
    "$detector": ".*",
    "$instance": ".*",
}

AT_ONCE = {
    "HarmgaugeFleetDriftKs",
    "HarmgaugeFleetDriftEvidence",
    "HarmgaugeHarm",
    "HarmgaugeFeatureDrift",
    "HarmgaugeSourceDrift",
    "HarmgaugeColumnDrift",
    "HarmgaugeNonFiniteScores",
}
LATER = {"HarmgaugeFlaggedShare", "HarmgaugeOverload"}
"""Alerts that this traffic may cause: those without a `for`, and those that are still pending."""

MAY_BE_ZERO = ("harmgauge_queue_rows", "harmgauge_values_missing_total")
"""The queue is empty at times, and this bundle accepts no missing values."""


@dataclass
class Watched:
    """A Prometheus that has seen the traffic, and the time since when."""

    prometheus: RunningPrometheus
    begin: float


def send(service: RunningService, rows: Any, **headers: str) -> int:
    return service.client.post("/score", content=rows.tobytes(), headers=RAW | headers).status_code


def traffic(service: RunningService, clean_until: float, stop: threading.Event) -> None:
    """Send clean rows, rows unlike the reference, and requests that are rejected, are late, or overflow the graph."""
    clean = instances(400, (5,), "float32", seed=1)
    overflowing = np.full((1, 5), 3e38, np.float32)
    step = 0
    while not stop.is_set():
        rows = clean[step * 4 % 400 :][:4]
        drifted = time.time() > clean_until
        source = {"X-Harmgauge-Source": "camera"}
        assert send(service, rows * np.float32(4) if drifted else rows, **source) == 200
        if step % 10 == 0:
            assert send(service, clean[:1, :3]) == 422
            assert send(service, overflowing) == 500
            assert send(service, clean, **{"X-Harmgauge-Deadline-Seconds": "0.00001"}) == 504
        step += 1
        time.sleep(0.02)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    binary("prometheus")
    folder = tmp_path_factory.mktemp("bundle")
    bundle = toy_bundle(folder, shape=(5,), dtype="float32", loss="xent", error_probability=True)
    rules = shortened(RULES, SHORT_WINDOW)
    stop = threading.Event()
    with (
        running_service(bundle, workers=1, feature_window_rows=100) as service,
        running_prometheus(tmp_path_factory.mktemp("prometheus"), rules, [service.port]) as prometheus,
    ):
        begin = time.time()
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(traffic, service, begin + CLEAN_SECONDS, stop)
            try:
                wait_until(lambda: sending.done() or fired(prometheus) >= AT_ONCE, 60)
                time.sleep(2)  # until all groups of rules were evaluated on the newest scrape
                yield Watched(prometheus, begin)
            finally:
                stop.set()
                sending.result()


def fired(prometheus: RunningPrometheus, state: str = "firing") -> set[str]:
    """The alerts in this state."""
    found = prometheus.query(f'ALERTS{{alertstate="{state}"}}')
    return {sample["metric"]["alertname"] for sample in found}


def chosen(text: str) -> str:
    """The text with its variables replaced as by Grafana."""
    for variable, value in CHOSEN.items():
        text = text.replace(variable, value)
    assert "$" not in text, text
    return text


def names(text: str) -> set[str]:
    """The metrics and recorded series that a text names."""
    return set(re.findall(r"\b(?:(?:fleet|instance)\w*:)?harmgauge_[\w:]+", text))


PANELS = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]
EVENTS = [pytest.param(event["expr"], id=event["name"]) for event in DASHBOARD["annotations"]["list"]]
VARIABLES = [
    pytest.param(variable["query"], id=variable["name"])
    for variable in DASHBOARD["templating"]["list"]
    if variable["type"] == "query"
]


@pytest.mark.parametrize("expression", PANELS + EVENTS)
def test_every_panel_and_annotation_has_data(expression: str, watched: Watched) -> None:
    values = np.concatenate([np.zeros(0), *watched.prometheus.range(chosen(expression), watched.begin, time.time())])
    finite = values[np.isfinite(values)]
    assert len(finite)
    assert any(name in expression for name in MAY_BE_ZERO) or finite.any(), (
        "nothing but zeros: the traffic never reached it"
    )


def test_every_metric_that_is_named_is_exported_or_recorded(watched: Watched) -> None:
    """Even if an expression has data without it, or an alert does not fire."""
    named = names(json.dumps(DASHBOARD)) | names(" ".join(RULE_EXPRESSIONS))
    assert len(named) > 30
    assert named - set(watched.prometheus.label_values("__name__")) == set()


@pytest.mark.parametrize("query", VARIABLES)
def test_every_variable_has_something_to_choose(query: str, watched: Watched) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found is not None
    values = watched.prometheus.label_values(found[2], chosen(found[1]))
    expected: dict[str, set[str]] = {
        "namespace": set(),  # it is a label of Kubernetes
        "job": {"harmgauge"},
        "model": {"toy"},
        "detector": {"score_ks", "score_evidence", "feature_mmd", "harm"},
    }
    if found[2] == "instance":
        assert len(values) == 1
    else:
        assert set(values) == expected[found[2]]


def test_the_alerts_that_the_traffic_deserves_fire_and_no_others(watched: Watched) -> None:
    # A scrape that takes too long ends some alerts and leaves others pending until the next.
    wait_until(lambda: fired(watched.prometheus) == AT_ONCE, 30)
    wait_until(lambda: fired(watched.prometheus, "pending") == LATER, 30)
