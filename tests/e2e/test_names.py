"""Client names sent by clients: used for trusted keys, over every protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from harmgauge.auth.keys import new_key
from tests.support.keys import ask
from tests.support.naming import BODY, ROW, WAYS, Send
from tests.support.process import RAW, RunningService, run, running_service

TRUSTED, OTHER, STRANGER, ADMIN = (new_key(name) for name in ("trusted", "other", "stranger", "admin"))
HEADER = "X-Harmgauge-Client"


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    keys = ",".join(key[1] for key in (TRUSTED, OTHER, STRANGER))
    with running_service(
        image_bundle_path, grpc_port=0, api_keys=keys, admin_keys=ADMIN[1], trusted_keys="trusted,other", open="metrics"
    ) as running:
        yield running


def counted(service: RunningService) -> int:
    """The rows that the evidence has counted."""
    answer = ask(service, "GET", "/drift", TRUSTED[0]).json()
    rows: int = answer["detectors"]["score_evidence"]["rows"]
    return rows


@pytest.mark.parametrize("send", WAYS)
def test_a_client_of_a_trusted_key_counts_once(service: RunningService, send: Send) -> None:
    before = counted(service)
    for key in (TRUSTED[0], OTHER[0]):
        for _ in range(3):
            assert send(service, key, HEADER, f"camera-{send.__name__}") == 200
    assert counted(service) == before + 2, "the same name under another key is another client"


@pytest.mark.parametrize("send", WAYS)
def test_of_other_keys_every_request_counts(service: RunningService, send: Send) -> None:
    """Otherwise an attack could hide behind one name."""
    before = counted(service)
    for _ in range(3):
        assert send(service, STRANGER[0], HEADER, f"camera-{send.__name__}") == 200
    assert counted(service) == before + 3


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize("key", [TRUSTED[0], STRANGER[0]], ids=["trusted", "not"])
def test_a_name_that_is_none_is_refused(service: RunningService, send: Send, key: str) -> None:
    before = counted(service)
    for name in ("x" * 129, "two words"):
        assert send(service, key, HEADER, name) in (400, grpc.StatusCode.INVALID_ARGUMENT)
    assert counted(service) == before


def test_a_parameter_that_is_no_text_is_refused(service: RunningService) -> None:
    body = {**BODY, "parameters": {HEADER.lower(): 7}}
    answer = ask(service, "POST", "/v2/models/toy/infer", TRUSTED[0], json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_without_keys_all_are_believed(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path) as service:
        for _ in range(3):
            answer = service.client.post("/score", content=ROW.tobytes(), headers={**RAW, HEADER: "camera"})
            assert answer.status_code == 200
        assert service.client.get("/drift").json()["detectors"]["score_evidence"]["rows"] == 1


def test_a_trusted_key_must_be_there(image_bundle_path: Path) -> None:
    done = run("serve", bundle=image_bundle_path, api_keys=TRUSTED[1], trusted_keys="trustd")
    assert done.returncode == 1
    assert "HARMGAUGE_TRUSTED_KEYS names 'trustd', but there is no such key: name one of trusted" in done.stderr
