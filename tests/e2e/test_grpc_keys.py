"""Keys over gRPC: metadata `authorization`, checked before the message is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.keys import ADMIN, API, METRICS, ROWS, SHAPE, rejected, settings
from tests.support.process import RunningService, grpc_port, running_service

REQUEST = service_pb2.ModelInferRequest(
    model_name="toy",
    inputs=[{"name": "input", "datatype": "UINT8", "shape": [3, *SHAPE]}],
    raw_input_contents=[ROWS.tobytes()],
)


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, grpc_port=0, **settings(flags_only="true")) as running:
        yield running


@pytest.fixture
def stub(service: RunningService) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def bearer(key: str | None) -> list[tuple[str, str]]:
    return [] if key is None else [("authorization", f"Bearer {key}")]


def test_health_needs_no_key(stub: Any) -> None:
    assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10).live
    assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=10).ready


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        (None, grpc.StatusCode.UNAUTHENTICATED, "unauthorized"),
        ("wrong", grpc.StatusCode.UNAUTHENTICATED, "unauthorized"),
        (METRICS[0], grpc.StatusCode.PERMISSION_DENIED, "forbidden"),
    ],
    ids=["nobody", "wrong", "metrics"],
)
def test_who_may_not_is_told_and_counted(
    service: RunningService, stub: Any, key: str | None, code: grpc.StatusCode, reason: str
) -> None:
    before = rejected(service, reason)
    calls = [
        (stub.ModelInfer, REQUEST),
        (stub.ModelMetadata, service_pb2.ModelMetadataRequest(name="toy")),
        (stub.ModelReady, service_pb2.ModelReadyRequest(name="toy")),
        (stub.ServerMetadata, service_pb2.ServerMetadataRequest()),
    ]
    for call, request in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call(request, metadata=bearer(key), timeout=10)
        assert refused.value.code() == code
        assert dict(refused.value.trailing_metadata())["code"] == reason
    assert rejected(service, reason) == before + len(calls)


def test_an_ordinary_key_gets_flags_and_an_admins_everything(stub: Any) -> None:
    names = {
        kind: [output.name for output in stub.ModelInfer(REQUEST, metadata=bearer(key), timeout=10).outputs]
        for kind, (key, _) in {"api": API, "admin": ADMIN}.items()
    }
    assert names == {
        "api": ["is_adversarial", "predictions"],
        "admin": ["score", "is_adversarial", "predictions", "probabilities"],
    }
    asked = service_pb2.ModelMetadataRequest(name="toy")
    described = stub.ModelMetadata(asked, metadata=bearer(API[0]), timeout=10)
    assert [output.name for output in described.outputs] == names["api"]


def test_rows_over_grpc_count_for_the_key(image_bundle_path: Path) -> None:
    limits = settings(rows_per_second_per_key=0.5)
    with (
        running_service(image_bundle_path, grpc_port=0, **limits) as service,
        grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(REQUEST, metadata=bearer(API[0]), timeout=10).outputs
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(REQUEST, metadata=bearer(API[0]), timeout=10)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(refused.value.trailing_metadata())["retry-after"]) >= 1
