"""grpc.health.v1, as probes, proxies and clients use it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from harmgauge.api.grpc import health
from harmgauge.api.grpc.wire import block
from tests.support.http2 import Http2, message
from tests.support.keys import settings
from tests.support.process import RunningService, grpc_port, running_service

SERVING, NOT_SERVING, SERVICE_UNKNOWN = (bytes((8, status)) for status in (1, 2, 3))
"""HealthCheckResponse, which has only one field."""

PATH = "/grpc.health.v1.Health/"
OURS = "inference.GRPCInferenceService"


def named(service: str) -> bytes:
    return block(1 << 3 | 2, service.encode())


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, grpc_port=0, **settings()) as running:
        yield running


@pytest.fixture
def channel(service: RunningService) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as made:
        yield made


@pytest.mark.parametrize(
    "sent", [b"", named(""), named(OURS), named("x") + named(OURS)], ids=["", "all", "ours", "last"]
)
def test_check_needs_no_key(channel: Any, sent: bytes) -> None:
    assert channel.unary_unary(f"{PATH}Check")(sent, timeout=10) == SERVING


@pytest.mark.parametrize(
    ("sent", "code", "details"),
    [
        (named("other"), "NOT_FOUND", "Unknown service 'other'."),
        (named(OURS)[:-1], "INVALID_ARGUMENT", "The message is not a valid grpc.health.v1.HealthCheckRequest."),
        (block(10, b"\xff"), "INVALID_ARGUMENT", "The message is not a valid grpc.health.v1.HealthCheckRequest."),
        (named("x" * 70_000), "INVALID_ARGUMENT", "The message has 70004 bytes"),
    ],
    ids=["unknown", "cut", "not UTF-8", "too long"],
)
def test_check_refuses_what_it_cannot_answer(channel: Any, sent: bytes, code: str, details: str) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(f"{PATH}Check")(sent, timeout=10)
    assert refusal.value.code().name == code
    assert refusal.value.details().startswith(details)


def test_list_names_every_service(channel: Any) -> None:
    entries = channel.unary_unary(f"{PATH}List")(b"", timeout=10)
    assert entries == b"".join(block(10, block(10, name.encode()) + block(18, SERVING)) for name in ("", OURS))


def test_a_message_that_never_comes_is_not_waited_for(service: RunningService, channel: Any) -> None:
    """This call requires no key, so it must hold no resources, and a probe must still get its response."""
    with Http2(grpc_port(service)) as silent:
        streams = {silent.call(f"{PATH}Check", data=message(2**20)) for _ in range(50)}
        assert channel.unary_unary(f"{PATH}Check")(named(OURS), timeout=1) == SERVING
        while silent.ended < streams:
            silent.listen(0.2)
            assert not silent.closed
        assert silent.answer_bytes == 50 * len(message(2, SERVING))
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        channel.unary_unary(f"{PATH}Check")(named("other"), timeout=10)


def test_watches_give_way_to_newer_ones(service: RunningService, channel: Any) -> None:
    first = channel.unary_stream(f"{PATH}Watch")(named("other"))
    assert next(first) == SERVICE_UNKNOWN
    many = []
    for _ in range(1 + health.MOST_WATCHES // 60):
        made = grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}", options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(60):
            watch = made.unary_stream(f"{PATH}Watch")(b"")
            assert next(watch) == SERVING
            many.append((made, watch))
    with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
        next(many[0][1])
    assert next(channel.unary_stream(f"{PATH}Watch")(b"")) == SERVING
    for made, _ in many:
        made.close()


def test_a_watch_hears_of_the_end_and_does_not_hold_it_up(image_bundle_path: Path) -> None:
    with (
        running_service(image_bundle_path, grpc_port=0, drain_seconds=60) as service,
        grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel,
    ):
        heard: list[bytes] = []
        watch = channel.unary_stream(f"{PATH}Watch")(b"")
        assert next(watch) == SERVING

        def listen() -> None:
            with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
                heard.extend(watch)

        listener = threading.Thread(target=listen)
        listener.start()
        service.terminate()
        assert service.wait(30) == 0
        listener.join(10)
        assert heard == [NOT_SERVING]
