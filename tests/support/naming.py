"""Sends one row over each protocol with the name of a client or of a source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.keys import SHAPE, V2, ask
from tests.support.process import RAW, RunningService, grpc_port
from tests.support.toy import instances

ROW = instances(1, SHAPE)
BODY = {"inputs": [{**V2["inputs"][0], "shape": [1, *SHAPE], "data": ROW.reshape(-1).tolist()}]}

Send = Callable[[RunningService, str, str, str], int | grpc.StatusCode]
"""Sends one row with a key and a name in a header; returns the status."""


def by_score(service: RunningService, key: str, header: str, name: str) -> int:
    return ask(service, "POST", "/score", key, content=ROW.tobytes(), headers={**RAW, header: name}).status_code


def by_v2_header(service: RunningService, key: str, header: str, name: str) -> int:
    return ask(service, "POST", "/v2/models/toy/infer", key, json=BODY, headers={header: name}).status_code


def by_v2_parameter(service: RunningService, key: str, header: str, name: str) -> int:
    body = {**BODY, "parameters": {header.lower(): name}}
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


def by_grpc_metadata(service: RunningService, key: str, header: str, name: str) -> Any:
    return _by_grpc(service, key, {header.lower(): name}, {})


def by_grpc_parameter(service: RunningService, key: str, header: str, name: str) -> Any:
    return _by_grpc(service, key, {}, {header.lower(): {"string_param": name}})


WAYS: list[Send] = [by_score, by_v2_header, by_v2_parameter, by_grpc_metadata, by_grpc_parameter]
