"""Client names sent by clients: used for trusted keys, over every protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harmgauge.auth.keys import new_key
from tests.support.keys import SHAPE, V2, ask
from tests.support.process import RAW, RunningService, grpc_port, run, running_service
from tests.support.toy import instances

TRUSTED, OTHER, STRANGER, ADMIN = (new_key(name) for name in ("trusted", "other", "stranger", "admin"))
HEADER = "X-Harmgauge-Client"
ROW = instances(1, SHAPE)
BODY = {"inputs": [{**V2["inputs"][0], "shape": [1, *SHAPE], "data": ROW.reshape(-1).tolist()}]}

Send = Callable[[RunningService, str, str], int | grpc.StatusCode]
"""Sends one row with a key and a client's name; returns the status."""


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    keys = ",".join(key[1] for key in (TRUSTED, OTHER, STRANGER))
    with running_service(
        image_bundle_path, grpc_port=0, api_keys=keys, admin_keys=ADMIN[1], trusted_keys="trusted,other", open="metrics"
    ) as running:
        yield running


def by_score(service: RunningService, key: str, name: str) -> int:
    return ask(service, "POST", "/score", key, content=ROW.tobytes(), headers={**RAW, HEADER: name}).status_code


def by_v2_header(service: RunningService, key: str, name: str) -> int:
    return ask(service, "POST", "/v2/models/toy/infer", key, json=BODY, headers={HEADER: name}).status_code


def by_v2_parameter(service: RunningService, key: str, name: str) -> int:
    body = {**BODY, "parameters": {HEADER.lower(): name}}
    return ask(service, "POST", "/v2/models/toy/infer", key, json=body).status_code


def _by_grpc(service: RunningService, key: str, metadata: dict[str, str], parameters: dict[str, Any]) -> Any:
    request = service_pb2.ModelInferRequest(
        model_name="toy",
        inputs=[{"name": "input", "datatype": "UINT8", "shape": [1, *SHAPE]}],
        raw_input_contents=[ROW.tobytes()],
        parameters=parameters,
    )
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            stub.ModelInfer(
                request,
                metadata=[("authorization", f"Bearer {key}"), *metadata.items()],
                timeout=20,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            return error.code()
    return 200


def by_grpc_metadata(service: RunningService, key: str, name: str) -> Any:
    return _by_grpc(service, key, {HEADER.lower(): name}, {})


def by_grpc_parameter(service: RunningService, key: str, name: str) -> Any:
    return _by_grpc(service, key, {}, {HEADER.lower(): {"string_param": name}})


WAYS: list[Send] = [by_score, by_v2_header, by_v2_parameter, by_grpc_metadata, by_grpc_parameter]


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
            assert send(service, key, f"camera-{send.__name__}") == 200
    assert counted(service) == before + 2, "the same name under another key is another client"


@pytest.mark.parametrize("send", WAYS)
def test_of_other_keys_every_request_counts(service: RunningService, send: Send) -> None:
    """Otherwise an attack could hide behind one name."""
    before = counted(service)
    for _ in range(3):
        assert send(service, STRANGER[0], f"camera-{send.__name__}") == 200
    assert counted(service) == before + 3


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize("key", [TRUSTED[0], STRANGER[0]], ids=["trusted", "not"])
def test_a_name_that_is_none_is_refused(service: RunningService, send: Send, key: str) -> None:
    before = counted(service)
    for name in ("x" * 129, "two words"):
        assert send(service, key, name) in (400, grpc.StatusCode.INVALID_ARGUMENT)
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
