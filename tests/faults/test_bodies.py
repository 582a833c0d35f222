"""Endless heads and bodies, and compressed ones: rejected, at a bounded cost in memory."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support.clients import counted, grpc_port, head, whole
from tests.support.own_value import SHAPE, row
from tests.support.process import RunningService, running_service
from tests.support.steady import Held, assert_well

LIMIT_BYTES = 2**18
ENDLESS_BYTES = 256 * 2**20


@pytest.fixture(scope="module")
def service(own_bundle: Path) -> Iterator[RunningService]:
    with running_service(own_bundle, max_body_bytes=LIMIT_BYTES, deadline_seconds=8, grpc_port=0) as running:
        assert running.score(row(0))["scores"] == [0]
        yield running


def flood(service: RunningService, begin: bytes, piece: bytes) -> tuple[bytes, int]:
    """Send `piece` repeatedly until the server stops reading; returns its response and the number of bytes sent."""
    answer: list[bytes] = []
    sent = 0
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        reader = threading.Thread(target=lambda: answer.append(_read(connection)))
        reader.start()
        try:
            connection.sendall(begin)
            while sent < ENDLESS_BYTES and reader.is_alive():
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        reader.join(20)
    return b"".join(answer), sent


def _read(connection: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := connection.recv(10_000):
            pieces.append(piece)
    except OSError:
        pass
    return b"".join(pieces)


CHUNKED = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
FILLING = b"a" * 60_000


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        pytest.param(CHUNKED, b"ea60\r\n" + FILLING + b"\r\n", b"413", id="chunks"),
        pytest.param(CHUNKED, b"1\r\na\r\n" * 10_000, b"413", id="chunks of a byte"),
        pytest.param(head(10**12), FILLING, b"413", id="a length of a terabyte"),
        pytest.param(head(10**30), FILLING, b"4", id="a length beyond all numbers"),
        pytest.param(b"GET /" + FILLING, FILLING, b"431", id="a path"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", FILLING, b"431", id="a header"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000, b"431", id="headers"),
        pytest.param(b"", b"\r\n" * 30_000, b"431", id="empty lines"),
        pytest.param(CHUNKED + b"1;", FILLING, b"", id="a chunk's extension"),
        pytest.param(CHUNKED + b"0\r\nX: ", FILLING, b"", id="a trailer"),
        pytest.param(CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000, b"", id="trailers"),
    ],
)
def test_what_never_ends_is_refused_and_not_kept(
    service: RunningService, begin: bytes, piece: bytes, status: bytes
) -> None:
    before = Held.by(service)
    answer, sent_bytes = flood(service, begin, piece)
    assert sent_bytes < ENDLESS_BYTES
    if status:
        assert answer.startswith(b"HTTP/1.1 " + status) or not answer, answer[:200]
    else:
        assert not answer, "a request had begun: it is cut off"
    assert_well(service, before)
    assert Held.peak_mebibytes(service) < before.mebibytes + 96


def test_compressed_bodies_are_refused_before_they_are_read(service: RunningService) -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    before, counts = Held.by(service), counted(service)
    for name in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        answer = service.client.post("/score", content=bomb, headers={"Content-Encoding": name})
        assert (answer.status_code, answer.json()["code"]) == (415, "unknown_media_type")
        assert answer.headers["accept-encoding"] == "identity"
    counts["415"] += 5
    counts["200"] += 0
    assert counted(service) == counts
    assert_well(service, before)


def test_compressed_messages_over_grpc_are_refused_before_they_are_read(service: RunningService) -> None:
    from harmgauge.api.grpc.protocol import SERVICE, methods

    before = Held.by(service)
    request_type, response_type = methods()["ModelInfer"]
    request = request_type(model_name="toy")
    request.inputs.add(name="input", datatype="FP32", shape=[1, *SHAPE])
    request.raw_input_contents.append(bytes(160 * 2**20))
    bomb = request.SerializeToString()
    with grpc.insecure_channel(
        f"127.0.0.1:{grpc_port(service)}", options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=bytes, response_deserializer=response_type.FromString
        )
        with pytest.raises(grpc.RpcError) as refusal:
            call(bomb, compression=grpc.Compression.Gzip, timeout=60)
        assert refusal.value.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert Held.peak_mebibytes(service) < before.mebibytes + 64
    assert_well(service, before)


def test_a_request_behind_a_refused_one_is_not_taken_for_its_body(service: RunningService) -> None:
    """The rest of a rejected body must not be read as another request."""
    before, counts = Held.by(service), counted(service)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(head(LIMIT_BYTES + 1) + whole(5))
        connection.shutdown(socket.SHUT_WR)
        answer = _read(connection)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert_well(service, before)
    assert counted(service)["200"] == counts["200"] + 1, "assert_well's own"
