"""The tables and the JSON document of `make bench`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.bench.accounting import RequestCost
from tests.bench.half_load import HalfLoad, Latency
from tests.bench.line import Line
from tests.bench.overload import Overload
from tests.bench.point import Point
from tests.bench.record import Results, document
from tests.bench.report import bars, cost_table
from tests.bench.startup import Startup
from tests.bench.system_calls import SystemCalls
from tests.conftest import ROOT

COST = RequestCost(300e-6, 250e-6, 50e-6, 900e-6, 4.25, 20e-6)
POINTS = [
    Point("1 row, raw", 1, 800.0, 0.5, 1.2e-3, 3e-3, COST),
    Point("1 row, raw", 16, 1600.0, 0.91, 8e-3, 30e-3, COST),
    Point("1 row, PNG", 16, 1600.0, 0.91, 8e-3, 30e-3, COST),
]
CALLS = SystemCalls({("1 row, raw", 16): {"futex": 3.5, "read": 1.0}})


def test_costs_are_printed_in_microseconds_with_all_system_calls_together() -> None:
    rows = cost_table(POINTS, CALLS).splitlines()[2:]
    assert rows == [
        "| 1 row, raw | 1 | 300 | 250 | 50 | 900 | 4.2 | - | 20 |",
        "| 1 row, raw | 16 | 300 | 250 | 50 | 900 | 4.2 | 4.5 | 20 |",
    ]


def test_the_reason_why_system_calls_are_missing_is_printed() -> None:
    assert cost_table(POINTS, SystemCalls({}, "strace is not installed.")).endswith("\n\nstrace is not installed.")


def test_bars_are_compared_at_their_number_of_connections() -> None:
    assert bars(POINTS) == [
        "1 row, raw at 1 connection: 300 us of CPU beyond inference, wanted 300 at most.",
        "1 row, raw at 16 connections: 0.91, wanted 0.90.",
        "1 row, raw at 16 connections: 300 us of CPU beyond inference, wanted 110 at most.",
    ]


def test_the_document_has_all_figures_and_every_key_is_explained() -> None:
    results = Results(
        rounds=3,
        seconds=4,
        bare_rows_per_second=1700.0,
        points=POINTS,
        others=[Line("1 camera JPEG", 16, 9.0, 0.9, 1.0, 2.0)],
        system_calls=CALLS,
        half_load=HalfLoad(800.0, Latency(2e-3, 8e-3), Latency(1e-3, 2e-3), Latency(1e-3, 3e-3)),
        overload=Overload(1.0, 3.0, 0.9, 0.7, 0.1, 0.2, 0.3, 0.01),
        startup=Startup(1.0, 0.9, 170.0),
    )
    found = json.loads(json.dumps(document(results, datetime(2026, 11, 29, 20, 0, tzinfo=UTC))))
    assert found["date"] == "2026-11-29T20:00:00Z"
    assert [point["system_calls"] for point in found["points"]] == [None, {"futex": 3.5, "read": 1.0}, None]
    assert found["others"][0]["ratio"] == 0.9
    assert found["points"][0]["cost"]["system_seconds"] == 50e-6
    assert found["half_load"]["over_alone"] == 2.0
    assert round(found["half_load"]["over_queued"], 3) == 1.333
    page = (ROOT / "docs" / "performance.md").read_text()
    unexplained = [key for key in _keys(found) if f"`{key}`" not in page]
    assert unexplained == []


def _keys(document: dict[str, Any]) -> set[str]:
    """All keys but those within a group that the page explains as a whole."""
    keys = set(document)
    for group in ("startup", "half_load"):
        keys |= set(document[group])
    return keys | set(document["points"][0]) | set(document["points"][0]["cost"])
