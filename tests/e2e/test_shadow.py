"""A shadow beside the served bundle, over HTTP: `/admin/shadow`, its metrics, its visibility, and shutdown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import load
from tests.conftest import SHIPPED_BUNDLE
from tests.support.other_bundles import corrupted, other_classes, other_input, other_name
from tests.support.process import NO_TLS, RAW, RunningService, run_here, running_service, wait_until
from tests.support.shadows import PATH, load_shadow, look, promote
from tests.support.swapping import BEARER, KEY, KEY_LINE, POOL, SHAPE, swap
from tests.support.toy import instances


@pytest.fixture
def service(bundles: tuple[Path, Path]) -> Iterator[RunningService]:
    with running_service(bundles[0], admin_keys=KEY_LINE) as running:
        yield running


def has_seen(service: RunningService, rows: int) -> None:
    wait_until(lambda: look(service)["scored_rows"] == rows, timeout_seconds=60)  # the shadow has the lowest priority


def test_it_tells_how_the_two_compare_on_the_same_rows(
    service: RunningService, bundles: tuple[Path, Path], expected: dict[str, Any]
) -> None:
    first, second = (load(folder) for folder in bundles)
    loaded = load_shadow(service, bundles[1])
    assert loaded.status_code == 200, loaded.text
    for start in range(0, len(POOL), 5):
        service.score(POOL[start : start + 5])
    has_seen(service, 200)
    found = look(service)
    assert (found["version"], found["sha256"], found["served"]["version"]) == ("2", second.sha256, "1")
    assert found["threshold"] == float(second.threshold)
    served, shadow = expected["1"] > first.threshold, expected["2"] > second.threshold
    assert found["flags"] == {
        "both": int((served & shadow).sum()),
        "only_served": int((served & ~shadow).sum()),
        "only_shadow": int((~served & shadow).sum()),
        "neither": int((~served & ~shadow).sum()),
    }
    assert found["shed_rows"] == found["waiting_rows"] == sum(found["failed_rows"].values()) == 0
    for name, scores in (("served_quantiles", expected["1"]), ("shadow_quantiles", expected["2"])):
        assert list(found["recent"][name].values()) == pytest.approx(np.quantile(scores, (0.5, 0.9, 0.99)), rel=1e-3)
    assert -1 <= found["recent"]["rank_correlation"] <= 1
    assert found["detectors"]["score_ks"]["total_rows"] == 200
    assert found["detectors"]["score_ks"]["p_value"] is not None

    metrics = service.metrics()
    counted = metrics["harmgauge_shadow_instances_total"]
    assert sum(value for _, value in counted) == 200
    assert {labels["bundle"] for labels, _ in counted} == {second.key}
    only_shadow = next(
        v for labels, v in counted if (labels["flag"], labels["served_flag"]) == ("adversarial", "clean")
    )
    assert only_shadow == found["flags"]["only_shadow"]
    assert service.detector_metric("shadow_drift_statistic")["score_ks"] == found["detectors"]["score_ks"]["statistic"]
    assert sum(value for _, value in metrics["harmgauge_instances_total"]) == 200, "of answers only"
    assert [labels["version"] for labels, _ in metrics["harmgauge_bundle_info"]] == ["1"]
    assert service.score(POOL[:3])["version"] == "1"


def test_promoted_it_serves_with_its_windows_and_nothing_of_it_is_left_as_a_shadow(
    service: RunningService, bundles: tuple[Path, Path], expected: dict[str, Any]
) -> None:
    second = load(bundles[1])
    load_shadow(service, bundles[1])
    for start in range(0, 100, 10):
        service.score(POOL[start : start + 10])
    has_seen(service, 100)
    answer = promote(service)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["version"]) == ("swapped", "2")
    assert answer.json()["previous"]["version"] == "1"
    window = service.score_ks(scores=True)
    assert np.allclose(window["scores"], expected["2"][:100], rtol=1e-4, atol=1e-6)
    assert np.allclose(service.score(POOL)["scores"], expected["2"], rtol=1e-4, atol=1e-6)
    assert service.score_ks()["total_rows"] == 300
    metrics = service.metrics()
    assert not any(name.startswith("harmgauge_shadow") for name in metrics)
    assert metrics["harmgauge_score_count"] == [({"bundle": second.key}, 200)]
    assert sum(value for _, value in metrics["harmgauge_instances_total"]) == 300
    again = promote(service)
    assert (again.status_code, again.json()["code"]) == (404, "no_shadow")
    wait_until(lambda: service.said("serving toy/2", "previously the shadow"))


def test_dropped_it_is_gone(service: RunningService, bundles: tuple[Path, Path]) -> None:
    load_shadow(service, bundles[1])
    dropped = service.client.delete(PATH, headers=BEARER)
    assert (dropped.status_code, dropped.json()["status"], dropped.json()["version"]) == (200, "dropped", "2")
    for gone in (service.client.get(PATH, headers=BEARER), service.client.delete(PATH, headers=BEARER)):
        assert (gone.status_code, gone.json()["code"]) == (404, "no_shadow")
    assert "harmgauge_shadow_" not in service.client.get("/metrics").text
    assert service.score(POOL[:3])["version"] == "1"


@pytest.mark.parametrize("make", [corrupted, other_input, other_classes, other_name])
def test_what_cannot_take_over_is_refused(
    unchanged: RunningService, bundles: tuple[Path, Path], tmp_path: Path, make: Any
) -> None:
    refused = load_shadow(unchanged, make(bundles[1], tmp_path))
    assert (refused.status_code, refused.json()["code"]) == (422, "bundle_refused")
    assert unchanged.client.get(PATH, headers=BEARER).status_code == 404
    assert load_shadow(unchanged, bundles[0]).json()["code"] == "bundle_refused", "it serves already"


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"folder": ""}', b'{"folder": "a", "x": 1}'])
def test_a_body_that_makes_no_sense_is_refused(unchanged: RunningService, body: bytes) -> None:
    refused = unchanged.client.post(PATH, content=body, headers=BEARER)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameters")


def test_only_admins_see_it(bundles: tuple[Path, Path]) -> None:
    api, api_line = new_key("shop")
    looker, looker_line = new_key("prometheus")
    keys = {"api_keys": api_line, "metrics_keys": looker_line, "admin_keys": KEY_LINE, "client_key": KEY}
    with running_service(bundles[0], flags_only="true", **keys) as service:
        assert load_shadow(service, bundles[1]).status_code == 200
        service.score(POOL[:10])
        has_seen(service, 10)
        calls = [("GET", PATH), ("POST", PATH), ("DELETE", PATH), ("POST", f"{PATH}/promote")]
        for key, code in ((api, 403), (looker, 403), ("hg_nobody", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            for method, path in calls:
                assert service.client.request(method, path, headers=headers).status_code == code
        ordinary = {"Authorization": f"Bearer {api}"}
        assert service.client.get("/metrics", headers=ordinary).status_code == 403
        for path in ("/info", "/v2/models/toy"):
            assert "shadow" not in service.client.get(path, headers=ordinary).text
        answer = service.client.post("/score", content=POOL[:1].tobytes(), headers={**RAW, **ordinary}).json()
        assert set(answer) == {"model", "version", "is_adversarial", "predictions"}
        text = service.client.get("/metrics", headers={"Authorization": f"Bearer {looker}"}).text
        assert "harmgauge_shadow_instances_total" in text
        assert "harmgauge_shadow_score" not in text


def test_a_shadow_from_the_start_keeps_its_windows_over_a_restart(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    settings = {"admin_keys": KEY_LINE, "state_dir": tmp_path, "shadow": bundles[1]}
    for total in (40, 80):
        with running_service(bundles[0], **settings) as service:
            wait_until(lambda: service.client.get(PATH, headers=BEARER).status_code == 200)
            service.score(POOL[:40])
            has_seen(service, 40)
            assert look(service)["detectors"]["score_ks"]["total_rows"] == total
            assert service.score_ks()["total_rows"] == total
            service.terminate()
            assert service.wait() == 0
            assert not service.said("Traceback")
    done = run_here("check", bundle=bundles[0], shadow=bundles[1])
    assert "shadow toy/2" in done.stdout
    refused = run_here("check", bundle=bundles[0], shadow=bundles[0])
    assert refused.returncode == 1
    assert "is in service" in refused.stderr


def test_sigterm_with_a_shadow_that_is_behind_ends_in_time(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    """One slow batch runs at a time while thousands of rows wait for it: the process waits for none of them."""
    settings = {"admin_keys": KEY_LINE, "state_dir": tmp_path, "max_queue_rows": 100_000, "max_batch_rows": 1}
    with running_service(bundles[0], deadline_seconds=60, **settings) as service:
        load_shadow(service, bundles[1])
        service.score(instances(60_000, SHAPE))
        seen = look(service)
        assert seen["waiting_rows"] == 60_000
        begin = time.monotonic()
        service.terminate()
        assert service.wait() == 0
        assert time.monotonic() - begin < 5
        assert not service.said("Traceback")
    with running_service(bundles[0], state_dir=tmp_path) as service:
        assert service.score_ks()["rows"] == service.score_ks()["window_rows"], "the answers' windows were saved"


@pytest.mark.parametrize("call", ["bundle", "shadow"])
def test_sigterm_while_a_bundle_is_loaded_answers_what_it_has_and_saves(tmp_path: Path, call: str) -> None:
    """The shipped bundles take at least a tenth of a second to load."""
    other = SHIPPED_BUNDLE.parent / "1"
    rows = instances(8, (32, 32, 3))
    with running_service(SHIPPED_BUNDLE, admin_keys=KEY_LINE, state_dir=tmp_path) as service:
        service.score(rows)
        answers: list[httpx.Response] = []

        def change(folder: Path) -> None:
            answers.append(
                httpx.post(
                    f"{service.client.base_url}/admin/{call}",
                    json={"folder": str(folder)},
                    headers=BEARER,
                    timeout=30,
                    verify=NO_TLS,
                )
            )

        def loads() -> bool:
            # There is nothing to drop, but while a bundle is loading the request is not even considered.
            return service.client.delete(PATH, headers=BEARER).status_code == 409

        for folder in [other, SHIPPED_BUNDLE if call == "bundle" else other] * 10:
            answers.clear()
            changing = threading.Thread(target=change, args=[folder])
            changing.start()
            while not (caught := loads()) and not answers:
                pass
            if caught:
                break
            changing.join()  # it was loaded before the first check
        assert caught
        begin = time.monotonic()
        service.terminate()
        assert service.wait() == 0
        changing.join()
        assert time.monotonic() - begin < 9, "the drain's bound, and a second"
        assert answers[0].status_code == 200, answers[0].text
        assert not service.said("Traceback")
    with running_service(SHIPPED_BUNDLE, state_dir=tmp_path) as service:
        assert service.score_ks()["total_rows"] == 8


def test_a_swap_and_a_shadow_do_not_mix(service: RunningService, bundles: tuple[Path, Path]) -> None:
    load_shadow(service, bundles[1])
    codes: set[int] = set()

    def call(method: str, path: str, body: dict[str, str] | None) -> None:
        codes.add(
            httpx.request(
                method, f"{service.client.base_url}{path}", json=body, headers=BEARER, timeout=30, verify=NO_TLS
            ).status_code
        )

    folders = [{"folder": str(folder)} for folder in bundles]
    calls: list[tuple[str, str, dict[str, str] | None]] = [
        ("POST", "/admin/bundle", folders[0]),
        ("POST", "/admin/bundle", folders[1]),
        ("POST", PATH, folders[0]),
        ("POST", PATH, folders[1]),
        ("DELETE", PATH, None),
        ("POST", f"{PATH}/promote", None),
    ]
    threads = [threading.Thread(target=call, args=each) for each in calls * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes <= {200, 404, 409, 422}
    assert swap(service, bundles[0]).status_code == 200
    assert service.score(POOL[:1])["version"] == "1"
    assert not service.said("Traceback")
