"""Another bundle takes over while the process runs: by `POST /admin/bundle` and by SIGHUP."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from harmgauge.bundle.load import load
from tests.support.other_bundles import corrupted, other_classes, other_input, other_name
from tests.support.process import NO_TLS, RAW, RunningService, running_service, wait_until
from tests.support.swapping import BEARER, KEY_LINE, POOL, swap


@pytest.fixture
def service(bundles: tuple[Path, Path]) -> Iterator[RunningService]:
    with running_service(bundles[0], admin_keys=KEY_LINE) as running:
        yield running


def version(service: RunningService) -> str:
    found: str = service.client.get("/info").json()["version"]
    return found


def test_everything_follows_the_new_bundle(service: RunningService, bundles: tuple[Path, Path]) -> None:
    first, second = (load(folder) for folder in bundles)
    service.score(POOL)
    started = service.client.get("/page/about").json()["started"]
    done = swap(service, bundles[1])
    assert done.status_code == 200, done.text
    answer = done.json()
    assert {**answer, "seconds": 0} == {
        "status": "swapped",
        "model": "toy",
        "version": "2",
        "sha256": second.sha256,
        "previous": {"model": "toy", "version": "1", "sha256": first.sha256},
        "seconds": 0,
    }
    info = service.client.get("/info").json()
    assert (info["version"], info["sha256"], info["threshold"]) == ("2", second.sha256, float(second.threshold))
    about = service.client.get("/page/about").json()
    assert about["threshold"] == float(second.threshold)
    assert about["started"] > started, "the page begins anew by it"
    assert service.client.get("/v2/models/toy").json()["versions"] == ["2"]
    assert service.client.get("/v2/models/toy/versions/2").status_code == 200
    assert service.client.get("/v2/models/toy/versions/1").status_code == 404
    drift = service.client.get("/drift").json()
    assert (drift["version"], drift["detectors"]["score_ks"]["total_rows"]) == ("2", 0)

    service.score(POOL[:30])
    found = service.metrics()
    assert [labels["sha256"] for labels, _ in found["harmgauge_bundle_info"]] == [second.sha256]
    assert found["harmgauge_score_count"] == [({"bundle": second.key}, 30)]
    bounds = {labels["le"] for labels, _ in found["harmgauge_score_bucket"]}
    assert repr(float(second.reference.scores[0])) in bounds or len(bounds) > 10
    assert bounds == {labels["le"] for labels, _ in found["harmgauge_reference_score_bucket"]}
    assert found["harmgauge_score_threshold"] == [({}, float(second.threshold))]
    assert sum(value for _, value in found["harmgauge_instances_total"]) == 230, "the counters of the process continue"
    wait_until(lambda: service.said("serving toy/2", "instead of toy/1"))


def test_the_same_bundle_again_changes_nothing(unchanged: RunningService, bundles: tuple[Path, Path]) -> None:
    before = unchanged.score_ks()["total_rows"]
    unchanged.score(POOL)
    for folder in (bundles[0], None):
        answer = swap(unchanged, folder)
        assert (answer.status_code, answer.json()["status"]) == (200, "unchanged")
    assert unchanged.score_ks()["total_rows"] == before + 200


def no_bundle(_: Path, folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (corrupted, "sha256 differs"),
        (other_input, "input shape is (5, 4, 3)"),
        (other_classes, "class"),
        (other_name, "name is 'another'"),
        (no_bundle, "is not a bundle"),
    ],
)
def test_what_cannot_be_served_is_refused_and_the_old_one_serves_on(
    unchanged: RunningService, bundles: tuple[Path, Path], tmp_path: Path, make: Any, says: str
) -> None:
    before = unchanged.score_ks()["total_rows"]
    unchanged.score(POOL)
    refused = swap(unchanged, make(bundles[1], tmp_path))
    assert (refused.status_code, refused.json()["code"]) == (422, "bundle_refused")
    assert says in refused.json()["detail"]
    assert "toy/1" in refused.json()["detail"]
    wait_until(lambda: unchanged.said("was refused", says))
    assert version(unchanged) == "1"
    assert unchanged.score_ks()["total_rows"] == before + 200
    for folder in (bundles[1], bundles[0]):
        assert swap(unchanged, folder).status_code == 200, "the next one is not held up"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"folder": 1}', b'{"folder": ""}', b'{"folder": "a\\u0000b"}', b'{"x": 1}']
)
def test_a_body_that_makes_no_sense_is_refused(unchanged: RunningService, body: bytes) -> None:
    refused = unchanged.client.post("/admin/bundle", content=body, headers=BEARER)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameters")


def test_nobody_swaps_without_a_key(unchanged: RunningService, bundles: tuple[Path, Path]) -> None:
    body = {"folder": str(bundles[1])}
    refused = unchanged.client.post("/admin/bundle", json=body, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert version(unchanged) == "1"


def test_one_swap_at_a_time(service: RunningService, bundles: tuple[Path, Path]) -> None:
    codes: list[int] = []

    def call() -> None:
        codes.append(
            httpx.post(
                f"{service.client.base_url}/admin/bundle",
                json={"folder": str(bundles[1])},
                headers=BEARER,
                timeout=30,
                verify=NO_TLS,
            ).status_code
        )

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {200, 409}
    assert 409 in codes
    assert version(service) == "2"


def test_sighup_reads_the_folder_again(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(bundles[0])
    with running_service(link) as service:
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.said("nothing changes"))
        link.unlink()
        link.symlink_to(bundles[1])
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: version(service) == "2")
        link.unlink()
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.said("was refused"))
        assert service.score(POOL[:1])["version"] == "2"


def test_a_request_ends_on_the_bundle_it_began_with(
    service: RunningService, bundles: tuple[Path, Path], expected: dict[str, Any]
) -> None:
    body = POOL.tobytes()
    with socket.create_connection(("127.0.0.1", service.port)) as slow:
        head = ["POST /score HTTP/1.1", "Host: x", f"Content-Type: {RAW['Content-Type']}"]
        head += [f"Content-Length: {len(body)}", "", ""]
        slow.sendall("\r\n".join(head).encode() + body[:100])
        time.sleep(0.2)
        assert swap(service, bundles[1]).json()["version"] == "2"
        assert service.score(POOL[:1])["version"] == "2"
        slow.sendall(body[100:])
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        document = json.loads(answer.read())
    assert document["version"] == "1"
    assert np.allclose(document["scores"], expected["1"], rtol=1e-4)
    wait_until(lambda: sum(value for _, value in service.metrics()["harmgauge_instances_total"]) == 201)
    assert service.score_ks()["total_rows"] == 1, "the new windows hear nothing of the old bundle's scores"


def test_windows_come_back_with_their_bundle(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with running_service(bundles[0], admin_keys=KEY_LINE, state_dir=tmp_path) as service:
        service.score(POOL[:70])
        before = service.score_ks(scores=True)["scores"]
        swap(service, bundles[1])
        assert service.score_ks()["total_rows"] == 0
        service.score(POOL[:20])
        swap(service, bundles[0])
        assert service.score_ks(scores=True)["scores"] == before
        service.score(POOL[70:80])
        swap(service, bundles[1])
        assert service.score_ks()["total_rows"] == 20
        service.terminate()
        assert service.wait() == 0
    with running_service(bundles[0], state_dir=tmp_path) as service:
        assert service.score_ks()["total_rows"] == 80
