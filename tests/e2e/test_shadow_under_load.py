"""Shadows that come, go and are promoted under load: no response fails or comes from the wrong bundle."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from harmgauge.assembly import TRAFFIC
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import NO_TLS, RAW, running_service, wait_until
from tests.support.shadows import PATH, load_shadow, look, promote
from tests.support.swapping import BEARER, KEY_LINE, POOL, asking
from tests.support.toy import instances

ROUNDS = 10


def test_promotions_under_load_lose_and_mix_nothing(
    bundles: tuple[Path, Path], expected: dict[str, Any], tmp_path: Path
) -> None:
    with running_service(bundles[0], admin_keys=KEY_LINE, grpc_port=0, state_dir=tmp_path / "state") as service:
        with asking(service, expected) as clients:
            for number in range(ROUNDS):
                other = bundles[(number + 1) % 2]
                assert load_shadow(service, other).status_code == 200
                if number % 5 == 0:
                    assert service.client.delete(PATH, headers=BEARER).status_code == 200
                    assert load_shadow(service, other).status_code == 200
                answered_so_far = sum(sum(client.answered.values()) for client in clients)
                wait_until(lambda: sum(sum(c.answered.values()) for c in clients) > answered_so_far + 40, 60)  # noqa: B023  # called at once
                promoted = promote(service)
                assert promoted.status_code == 200, promoted.text
                assert promoted.json()["version"] == other.name
        assert load_shadow(service, bundles[1]).status_code == 200
        service.score(POOL)
        wait_until(lambda: look(service)["scored_rows"] == len(POOL), timeout_seconds=60)
        answered = {name: sum(client.answered[name] for client in clients) for name in ("1", "2")}
        assert min(answered.values()) > 100, answered
        requests = service.metrics()["harmgauge_requests_total"]
        counted = {labels["status"] for labels, _ in requests if labels["route"] in TRAFFIC}
        assert counted == {"200", "OK"}
        assert sum(value for labels, value in requests if labels["route"] in TRAFFIC) == sum(answered.values()) + 1
        assert not service.said("Traceback")
        assert not service.said("ERROR")


def test_over_its_capacity_the_shadow_is_what_is_shed() -> None:
    """More rows wait than can be scored: responses use the capacity, and the shadow's windows get the rest."""
    body = np.ascontiguousarray(instances(32, (32, 32, 3))).tobytes()
    settings = {"admin_keys": KEY_LINE, "max_queue_rows": 256}
    with running_service(SHIPPED_BUNDLE, **settings) as service:
        assert load_shadow(service, SHIPPED_BUNDLE.parent / "1").status_code == 200
        stop = threading.Event()
        codes: list[int] = []

        def client() -> None:
            with httpx.Client(base_url=service.client.base_url, timeout=60, verify=NO_TLS) as own:
                while not stop.is_set():
                    codes.append(own.post("/score", content=body, headers=RAW).status_code)

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        looks: list[dict[str, Any]] = []

        def most_is_shed() -> bool:
            looks.append(look(service))
            return bool(looks[-1]["shed_rows"] > max(1000, 10 * looks[-1]["scored_rows"]))

        try:
            wait_until(most_is_shed)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        seen = looks[-1]
        assert all(each["waiting_rows"] <= 256 for each in looks)
        assert seen["shed_rows"] > 10 * seen["scored_rows"], "answers leave it next to nothing"
        assert set(codes) == {200}, "and none of them was refused for its sake"
        wait_until(lambda: look(service)["waiting_rows"] == 0, timeout_seconds=200)
        assert look(service)["scored_rows"] > seen["scored_rows"], "afterwards it works off what it has"
