"""Sources over every protocol: named, listed, exported, acknowledged, and still there after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from harmgauge.auth.keys import new_key
from tests.support.keys import SHAPE, ask
from tests.support.naming import ROW, WAYS, Send
from tests.support.process import RAW, RunningService, running_service
from tests.support.toy import instances, toy_bundle

SHOP, SITE, STRANGER, ADMIN = (new_key(name) for name in ("shop", "site", "stranger", "admin"))
HEADER = "X-Harmgauge-Source"
KEYS = {
    "api_keys": ",".join(key[1] for key in (SHOP, SITE, STRANGER)),
    "admin_keys": ADMIN[1],
    "trusted_keys": "shop,site",
    "open": "metrics",
    "rows_between_false_alarms": 1000,
    "feature_mmd": False,
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("p"), error_probability=True)


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[RunningService]:
    with running_service(bundle, grpc_port=0, **KEYS) as running:
        yield running


def bright(rows: int) -> bytes:
    """Harmful: the mean of P rises from .10 to .24."""
    return np.maximum(instances(rows, SHAPE, seed=3), 200).tobytes()


def send(service: RunningService, key: str, source: str, body: bytes, times: int = 1) -> None:
    for _ in range(times):
        headers = {**RAW, HEADER: source}
        assert ask(service, "POST", "/score", key, content=body, headers=headers).status_code == 200


def listed(service: RunningService, **query: Any) -> dict[str, Any]:
    answer = ask(service, "GET", "/drift/sources", SHOP[0], params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_source_is_its_key_and_its_name(service: RunningService, way: Send) -> None:
    name = f"camera-{way.__name__}"
    for key in (SHOP, SITE, STRANGER):
        assert way(service, key[0], HEADER, name) == 200
    assert way(service, SHOP[0], HEADER, name) == 200
    found = {each["source"]: each["rows"] for each in listed(service)["sources"] if each["source"].endswith(name)}
    assert found == {f"shop: {name}": 2, f"site: {name}": 1}, "the stranger is not believed"
    assert way(service, SHOP[0], HEADER, "two words") in (400, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_broken_source_is_named_until_it_is_acknowledged(service: RunningService) -> None:
    for number in range(3):
        send(service, SITE[0], f"door-{number}", ROW.tobytes())
    assert listed(service, prefix="site: door")["threshold"] == 1000
    send(service, SITE[0], "door-1", bright(4), times=60)
    answer = listed(service, state="drifting")
    (broken,) = answer["sources"]
    assert (broken["source"], broken["cause"], broken["rows"]) == ("site: door-1", "harm", 241)
    assert broken["evidence"] >= 500
    assert broken["accuracy"] < 0.85
    assert (answer["drifting"], answer["model"], answer["unmonitored_requests"]) == (1, "toy", 0)
    assert listed(service)["sources"][0] == broken, "on top"
    metrics = service.metrics()
    assert metrics["harmgauge_source_drifting"] == [({"source": "site: door-1"}, 1)]
    assert metrics["harmgauge_sources_drifting"] == [({}, 1)]
    assert metrics["harmgauge_sources"] == [({}, answer["monitored"])]
    assert service.said("the source 'site: door-1' is drifting: its estimate of accuracy is too low") == 1

    reset, admin = "/admin/drift/reset", ADMIN[0]
    assert ask(service, "POST", reset, SITE[0], params={"source": "site: door-1"}).status_code == 403
    unknown = ask(service, "POST", reset, admin, params={"source": "door-1"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_source")
    before = ask(service, "GET", "/drift", SHOP[0]).json()["detectors"]["harm"]["rows"]
    assert ask(service, "POST", reset, admin, params={"source": "site: door-1"}).status_code == 200
    assert listed(service)["drifting"] == 0
    assert ask(service, "GET", "/drift", SHOP[0]).json()["detectors"]["harm"]["rows"] == before, "nothing else"
    assert "harmgauge_source_drifting" not in service.metrics()


def test_pages_and_filters(service: RunningService) -> None:
    for number in range(5):
        send(service, SHOP[0], f"till-{number}", ROW.tobytes(), times=number + 1)
    names: list[str] = []
    start: int | None = 0
    while start is not None:
        page = listed(service, prefix="shop: till", sort="source", limit=2, start=start)
        names += [each["source"] for each in page["sources"]]
        start = page["next"]
    assert names == [f"shop: till-{number}" for number in range(5)]
    assert listed(service, prefix="shop: till", sort="rows")["sources"][0]["rows"] == 5
    assert not listed(service, prefix="nobody")["sources"]
    assert ask(service, "HEAD", "/drift/sources", SHOP[0]).status_code == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sort": "age"}, "'sort': expected one of evidence, accuracy, rows, source, got 'age'"),
        ({"limit": "0"}, "'limit': expected a whole number from 1 to 1000, got '0'"),
        ({"limit": "1e2"}, "'limit': expected a whole number"),
        ({"start": "9" * 5000}, "'start': expected a whole number"),
        ({"state": "broken"}, "'state': expected one of warming, ok, drifting"),
        ({"page": "2"}, "Unknown query parameter 'page'; known: state, prefix, sort, start, limit"),
    ],
)
def test_a_query_that_makes_no_sense(service: RunningService, query: dict[str, str], message: str) -> None:
    answer = ask(service, "GET", "/drift/sources", SHOP[0], params=query)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_a_baseline_is_only_forgotten_for_one_source(service: RunningService) -> None:
    answer = ask(service, "POST", "/admin/drift/reset", ADMIN[0], params={"forget_baseline": "true"})
    assert answer.status_code == 422
    assert "is for one source" in answer.json()["detail"]


def test_a_restart_forgets_nothing(bundle: Path, tmp_path: Path) -> None:
    settings = {**KEYS, "state_dir": tmp_path}
    with running_service(bundle, **settings) as service:
        send(service, SITE[0], "door-1", bright(4), times=60)
        send(service, SHOP[0], "till", ROW.tobytes(), times=3)
        before = {each["source"]: each for each in listed(service)["sources"]}
        service.terminate()
        assert service.wait() == 0
    with running_service(bundle, **settings) as service:
        after = {each["source"]: each for each in listed(service)["sources"]}
        assert after.keys() == before.keys() == {"site: door-1", "shop: till"}
        for name, source in after.items():
            assert source == before[name] | {
                key: pytest.approx(before[name][key]) for key in ("evidence", "harm", "change")
            }
        assert service.metrics()["harmgauge_source_drifting"] == [({"source": "site: door-1"}, 1)]
        assert ask(service, "POST", "/admin/drift/reset", ADMIN[0]).status_code == 200
        assert listed(service)["drifting"] == 0, "everything is acknowledged"


def test_they_can_be_turned_off(bundle: Path) -> None:
    with running_service(bundle, max_sources=0) as service:
        answer = service.client.post("/score", content=ROW.tobytes(), headers={**RAW, HEADER: "camera"})
        assert answer.status_code == 200
        missing = service.client.get("/drift/sources")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_offered")
        assert "HARMGAUGE_MAX_SOURCES" in missing.json()["detail"]
        assert "harmgauge_sources" not in service.metrics()
