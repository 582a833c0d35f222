"""The live page's routes in the real process."""

from __future__ import annotations

import asyncio
import http.client
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.page.recorder import SAMPLE_SECONDS
from harmgauge.page.routes import Kept
from tests.support.process import NO_TLS, RunningService, running_service, wait_until
from tests.support.toy import instances, toy_bundle

SHAPE = (4, 4, 3)


def get(service: RunningService, path: str) -> Any:
    answer = service.client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_the_page_and_its_files(service: RunningService) -> None:
    home = service.client.get("/")
    assert home.status_code == 200
    assert home.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in home.headers["content-security-policy"]
    assert "unsafe" not in home.headers["content-security-policy"]
    assert home.headers["x-content-type-options"] == "nosniff"
    assert "<h1" in home.text
    for path, media_type in {
        "page/main.js": "text/javascript; charset=utf-8",
        "page/style.css": "text/css; charset=utf-8",
        "page/favicon.svg": "image/svg+xml",
        "page/vendor/uplot.min.js": "text/javascript; charset=utf-8",
    }.items():
        answer = service.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        again = service.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == "no-cache"


def test_no_file_names_another_address(service: RunningService) -> None:
    """Except the notice of the chart library, which links to its origin."""
    for path in ("/", "/page/main.js", "/page/style.css", "/page/panels.css"):
        text = service.client.get(path).text
        assert "//" not in text.replace("// ", ""), path


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/state"])
def test_head_is_get_without_a_body(service: RunningService, path: str) -> None:
    head, whole = service.client.head(path), service.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    ["/page/", "/page/none.js", "/page/index.html", "/page/%2e%2e/app.py", "/page/vendor"],
)
def test_what_is_not_there(service: RunningService, path: str) -> None:
    answer = service.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert service.client.post("/page/state").status_code == 405


@pytest.mark.parametrize("path", ["/page/../settings.py", "/page/../../service/app.py", "/page//etc/passwd"])
def test_nothing_outside_its_folder(service: RunningService, path: str) -> None:
    """Sent literally, because clients usually remove the dots."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_its_routes_are_no_contract(service: RunningService) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/page")]


def test_it_says_what_drift_says(image_bundle_path: Path) -> None:
    bundle = load(image_bundle_path)
    with running_service(image_bundle_path) as service:
        about, empty = get(service, "/page/about"), get(service, "/page/state")
        assert (empty["window_rows"], empty["window_shares"], empty["flagged_share"]) == (0, None, None)
        assert about["threshold"] == float(bundle.threshold)
        assert sum(about["reference_shares"]) == pytest.approx(1)
        assert about["normal_flagged_share"] == (bundle.reference.scores > bundle.threshold).mean()
        assert about["reference_points"] == service.client.get("/drift/embedding").json()["reference"]
        service.score(instances(150, SHAPE, seed=3))
        wait_until(lambda: get(service, "/page/state")["window_rows"] == 100)
        state, drift = get(service, "/page/state"), service.client.get("/drift?scores=true").json()["detectors"]
        scores = drift["score_ks"].pop("scores")
        assert state["detectors"] == drift
        assert state["flagged_share"] == np.mean(np.array(scores) > about["threshold"])
        edges = np.array(about["bucket_edges"])
        counts = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0]
        np.testing.assert_allclose(state["window_shares"], counts / 100)
        points = get(service, "/page/embedding")["recent_points"]
        assert points == service.client.get("/drift/embedding").json()["recent"]
        assert len(points) == 150

        wait_until(lambda: len(get(service, "/page/history")["time"]) >= 2, timeout_seconds=4 * SAMPLE_SECONDS)
        history = get(service, "/page/history")
        # The rate of one request; a sample takes SAMPLE_SECONDS, or longer on a busy machine.
        rows_per_second, requests_per_second = (
            np.nansum(history[f"{name}_per_second"]) for name in ("rows", "requests")
        )
        assert rows_per_second / requests_per_second == pytest.approx(150)
        assert 0 < rows_per_second * SAMPLE_SECONDS < 150 * 1.01
        assert history["flagged_share"][-1] == pytest.approx(state["flagged_share"])
        recent = get(service, "/page/state")["recent"]
        assert recent.keys() == history.keys()
        assert set(recent["time"]) >= set(history["time"][-2:])


def test_a_bundle_without_a_picture(tmp_path: Path) -> None:
    with running_service(toy_bundle(tmp_path, features="none")) as service:
        assert get(service, "/page/about")["reference_points"] is None
        assert get(service, "/page/embedding") == {"recent_points": None}
        assert get(service, "/page/state")["detectors"].keys() == {"score_ks", "score_evidence"}


def test_it_can_be_left_out(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, page="false") as service:
        answer = service.client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (307, "docs")
        for path in ("/page/state", "/page/main.js"):
            assert service.client.get(path).status_code == 404


@pytest.mark.anyio
async def test_many_pages_cost_as_much_as_one() -> None:
    made = 0

    async def make() -> dict[str, Any]:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        return {"made": made}

    async def ask(kept: Kept) -> list[bytes]:
        return [bytes(answer.body) for answer in await asyncio.gather(*(kept.answer() for _ in range(100)))]

    kept = Kept(make, 60)
    assert set(await ask(kept)) == set(await ask(kept)) == {b'{"made":1}'}
    fresh = Kept(make, 0)
    await fresh.answer()
    assert (await fresh.answer()).body == b'{"made":3}'


@pytest.mark.anyio
async def test_a_failure_is_not_kept() -> None:
    attempts = 0

    async def make() -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise RuntimeError("once")
        return {}

    kept = Kept(make, 60)
    with pytest.raises(RuntimeError):
        await kept.answer()
    assert (await kept.answer()).body == b"{}"


def test_looking_does_not_disturb_scoring(service: RunningService) -> None:
    rows = instances(8, SHAPE, seed=11)
    expected = service.score(rows)["scores"]
    stop, failures = threading.Event(), []

    def look() -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=30, verify=NO_TLS) as client:
            while not stop.is_set():
                for path in ("/", "/page/state", "/page/history", "/page/embedding"):
                    if client.get(path).status_code != 200:
                        failures.append(path)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            assert service.score(rows)["scores"] == pytest.approx(expected)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
