"""Ordinary keys get flags and classes, but no number that could guide an attack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.keys import ADMIN, API, METRICS, ROWS, V2, ask, settings
from tests.support.process import RAW, RunningService, running_service


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, **settings(flags_only="true")) as running:
        yield running


def post(service: RunningService, key: str, query: str = "") -> Any:
    return ask(service, "POST", f"/score{query}", key, content=ROWS.tobytes(), headers=RAW)


def test_score_tells_flags_and_classes(service: RunningService) -> None:
    full, flags = post(service, ADMIN[0]).json(), post(service, API[0]).json()
    assert set(flags) == {"model", "version", "is_adversarial", "predictions"}
    assert flags == {name: full[name] for name in flags}
    assert {"scores", "threshold"} <= set(full)
    refused = post(service, API[0], "?probabilities=true")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "probabilities" in post(service, ADMIN[0], "?probabilities=true").json()


def test_v2_offers_flags_and_classes(service: RunningService) -> None:
    def outputs(key: str, **more: object) -> list[str]:
        answer = ask(service, "POST", "/v2/models/toy/infer", key, json={**V2, **more})
        assert answer.status_code == 200, answer.text
        return [output["name"] for output in answer.json()["outputs"]]

    assert outputs(API[0]) == ["is_adversarial", "predictions"]
    assert outputs(ADMIN[0]) == ["score", "is_adversarial", "predictions", "probabilities"]
    for name in ("score", "probabilities"):
        asked = {**V2, "outputs": [{"name": name}]}
        refused = ask(service, "POST", "/v2/models/toy/infer", API[0], json=asked)
        assert refused.status_code == 422
        assert "known: is_adversarial, predictions" in refused.json()["detail"]
        assert outputs(ADMIN[0], outputs=[{"name": name}]) == [name]
    described = ask(service, "GET", "/v2/models/toy", API[0]).json()["outputs"]
    assert [output["name"] for output in described] == ["is_adversarial", "predictions"]


def test_what_moves_with_every_score_is_for_other_keys(service: RunningService) -> None:
    for path in (
        "/drift",
        "/drift?scores=true",
        "/drift/features",
        "/drift/embedding",
        "/drift/columns",
        "/metrics",
        "/page/state",
    ):
        assert ask(service, "GET", path, API[0]).status_code == 403, path
        assert ask(service, "GET", path, METRICS[0]).status_code in {200, 404}, path
    assert "threshold" not in ask(service, "GET", "/info", API[0]).json()
    assert "threshold" in ask(service, "GET", "/info", METRICS[0]).json()


def test_nobody_in_particular_gets_flags_too(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, open="api", flags_only="true", admin_keys=ADMIN[1]) as service:
        answer = service.client.post("/score", content=ROWS.tobytes(), headers=RAW).json()
        assert "is_adversarial" in answer
        assert "scores" not in answer
        assert service.client.get("/drift").status_code == 401
        assert "threshold" not in service.client.get("/info").json()
        assert "scores" in post(service, ADMIN[0]).json()
