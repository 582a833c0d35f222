"""gRPC clients that send no message, half a message or hostile frames, or do not read responses: nobody else is locked
out, and memory stays bounded. With a key and without.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harmgauge.api.grpc.wire import block
from harmgauge.auth.keys import new_key
from tests.support.http2 import Http2, message
from tests.support.own_value import SHAPE, row
from tests.support.process import RunningService, grpc_port, running_service
from tests.support.steady import Held

API, OTHER = (new_key(name) for name in ("shop", "other"))
LIVE, INFER = (f"/inference.GRPCInferenceService/{name}" for name in ("ServerLive", "ModelInfer"))
LARGE_BYTES = 16 * 2**20 - 1000
REQUEST = service_pb2.ModelInferRequest(
    model_name="toy",
    inputs=[{"name": "input", "datatype": "FP32", "shape": [1, *SHAPE]}],
    raw_input_contents=[row(7).tobytes()],
)


@pytest.fixture(scope="module")
def service(own_bundle: Path) -> Iterator[RunningService]:
    keys = f"{API[1]},{OTHER[1]}"
    with running_service(
        own_bundle, grpc_port=0, api_keys=keys, open="metrics", client_key=API[0], access_log="off"
    ) as running:
        assert running.score(row(0))["scores"] == [0]
        yield running


def answered(service: RunningService, key: str | None = API[0], seconds: float = 3) -> float:
    """Seconds that a new client waits for a score and for ServerLive; fails if it gets none in time."""
    begin = time.monotonic()
    with grpc.insecure_channel(
        f"127.0.0.1:{grpc_port(service)}", options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = [("authorization", f"Bearer {key}")] if key else []
        response = stub.ModelInfer(REQUEST, metadata=metadata, timeout=seconds)
        assert next(o for o in response.outputs if o.name == "score").shape == [1]
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=seconds).live
    return time.monotonic() - begin


@pytest.mark.parametrize(
    ("path", "key"), [(LIVE, None), (INFER, API[0]), (INFER, OTHER[0])], ids=["no key", "same key", "another key"]
)
def test_silent_calls_keep_nobody_out(service: RunningService, path: str, key: str | None) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Http2(grpc_port(service))) for _ in range(4)]
        for client in clients:
            for _ in range(64):
                client.call(path, key=key)
        for _ in range(5):
            answered(service)
            time.sleep(0.3)


def test_silent_calls_end_by_the_deadline(own_bundle: Path) -> None:
    with (
        running_service(own_bundle, grpc_port=0, deadline_seconds=1) as service,
        Http2(grpc_port(service)) as client,
    ):
        streams = {client.call(INFER) for _ in range(30)}
        answered(service, None)
        begin = time.monotonic()
        while client.ended < streams:
            client.listen(0.1)
            assert time.monotonic() - begin < 20
        assert not client.closed


def test_half_messages_of_nobody_are_not_taken(service: RunningService) -> None:
    before = Held.by(service)
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(Http2(grpc_port(service)))
            streams = [client.call(LIVE, data=message(LARGE_BYTES)) for _ in range(16)]
            assert client.push(streams, LARGE_BYTES - 10, 0.5) < 16 * 100_000
        assert Held.by(service).mebibytes < before.mebibytes + 32
        answered(service)


def test_half_messages_take_no_more_than_there_is_room_for(service: RunningService) -> None:
    before = Held.by(service)
    with ExitStack() as stack:
        sent = 0
        for _ in range(4):
            client = stack.enter_context(Http2(grpc_port(service)))
            streams = [client.call(INFER, key=OTHER[0], data=message(LARGE_BYTES)) for _ in range(16)]
            sent += client.push(streams, LARGE_BYTES - 10, 2)
            answered(service)
        assert sent > 100 * 2**20, "it was no attack"
        assert Held.peak_mebibytes(service) < before.mebibytes + 600


def test_answers_that_nobody_takes_are_bounded(service: RunningService) -> None:
    """Small calls are bounded by their number, per connection and in total."""
    before = Held.by(service)
    with ExitStack() as stack:
        taken = 0
        for _ in range(20):
            client = stack.enter_context(Http2(grpc_port(service), window=0))
            streams = {client.call(LIVE, data=message(0), ends=True) for _ in range(100)}
            client.listen(0.2)
            taken += len(streams - client.ended)
        assert 1000 <= taken <= 1800, "of 2000; the others were refused, which needs no window"
        assert Held.by(service).mebibytes < before.mebibytes + 200
        answered(service)
    answered(service)
    assert not service.said("Traceback"), "clients that leave are no error"


def test_bytes_of_answers_that_nobody_takes_are_counted(own_bundle: Path) -> None:
    """Until their clients disconnect."""
    rows = 20_000
    request = service_pb2.ModelInferRequest(
        model_name="toy",
        inputs=[{"name": "input", "datatype": "FP32", "shape": [rows, *SHAPE]}],
        raw_input_contents=[row(7).tobytes() * rows],
    ).SerializeToString()
    with running_service(
        own_bundle, grpc_port=0, max_queue_rows=10**6, max_body_bytes=2**18, max_bodies_bytes=2**21
    ) as service:
        with ExitStack() as stack:
            clients = [stack.enter_context(Http2(grpc_port(service), window=0)) for _ in range(6)]
            for client in clients:
                streams = {client.call(INFER, data=message(len(request))) for _ in range(2)}
                for stream in streams:
                    client.finish(stream, request)
                client.listen(0.5)
            refused = [len(client.ended) for client in clients]
            assert refused[:4] == [1] * 4, "a connection has a quarter of 2 MiB, or one request; each answer has 420 KB"
            assert refused[4:] == [2] * 2, "four have less than 2 MiB together, five have more"
            with pytest.raises(grpc.RpcError, match="already hold all .* bytes"):
                ask(service, request)
        for _ in range(100):
            try:
                ask(service, request)
            except grpc.RpcError:
                time.sleep(0.1)
            else:
                break
        else:
            pytest.fail("they are counted although they are gone")


def ask(service: RunningService, sent: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        channel.unary_unary(INFER)(sent, timeout=20)


def _hostile() -> dict[str, bytes]:
    name, size = block(10, b"toy"), LARGE_BYTES // 2
    contents = block(42, b"\x20\1" * size)
    return {
        "inputs": name + b"\x2a\0" * size,
        "outputs": name + b"\x32\0" * size,
        "parameters": name + b"\x22\0" * size,
        "raw inputs": name + b"\x3a\0" * size,
        "sizes": name + block(42, block(10, b"input") + block(18, b"FP32") + block(26, b"\1" * LARGE_BYTES)),
        "numbers one by one": name + block(42, block(10, b"input") + block(18, b"FP32") + contents),
        "nothing known": b"\x7a\0" * size,
    }


@pytest.mark.parametrize("name", _hostile())
def test_messages_of_many_fields_cost_little(service: RunningService, name: str) -> None:
    """8 million of them would take 800 MB and block the event loop for seconds."""
    sent = _hostile()[name]
    before = Held.peak_mebibytes(service)
    with grpc.insecure_channel(
        f"127.0.0.1:{grpc_port(service)}", options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        call: Any = channel.unary_unary(INFER)
        with pytest.raises(grpc.RpcError) as refusal:
            call(sent, metadata=[("authorization", f"Bearer {API[0]}")], timeout=60)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.value.details().startswith("The message has ")
    assert Held.peak_mebibytes(service) < before + 100
