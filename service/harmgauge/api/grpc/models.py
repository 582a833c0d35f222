"""Metadata calls about the server and its models; none of them scores."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from google.protobuf.message import DecodeError

from harmgauge.api.grpc.call import GrpcCall, Work
from harmgauge.api.grpc.protocol import methods
from harmgauge.api.grpc.wire import malformed, small
from harmgauge.api.v2.routes import check_served, metadata
from harmgauge.api.views import views_of
from harmgauge.auth.policy import Principal
from harmgauge.readiness import Readiness
from harmgauge.rollout.served import ServedBundle


def calls(readiness: Readiness) -> dict[str, Work]:
    """Calls by name. Those whose request message is empty are answered without reading it."""
    messages = methods()

    async def named(call: GrpcCall, principal: Principal, kind: Any) -> Any:
        sent = await call.message(principal)
        small(sent, kind.DESCRIPTOR.full_name)
        try:
            return kind.FromString(sent)
        except DecodeError:
            raise malformed(kind.DESCRIPTOR.full_name) from None

    async def live(*_: object) -> bytes:
        return _bytes(messages["ServerLive"][1](live=readiness.failure is None))

    async def ready(*_: object) -> bytes:
        return _bytes(messages["ServerReady"][1](ready=readiness.unready is None))

    async def server_metadata(*_: object) -> bytes:
        return _bytes(messages["ServerMetadata"][1](name="harmgauge", version=version("harmgauge")))

    async def model_ready(call: GrpcCall, serving: ServedBundle, principal: Principal, _: object) -> bytes:
        kind, answer = messages["ModelReady"]
        asked = await named(call, principal, kind)
        check_served(serving.bundle.manifest, asked.name, asked.version)
        return _bytes(answer(ready=readiness.unready is None))

    async def model_metadata(call: GrpcCall, serving: ServedBundle, principal: Principal, _: object) -> bytes:
        kind, answer = messages["ModelMetadata"]
        asked = await named(call, principal, kind)
        manifest = serving.bundle.manifest
        check_served(manifest, asked.name, asked.version)
        return _bytes(answer(**metadata(manifest, views_of(serving.components).outputs_for(principal))))

    return {
        "ServerLive": live,
        "ServerReady": ready,
        "ServerMetadata": server_metadata,
        "ModelReady": model_ready,
        "ModelMetadata": model_metadata,
    }


def _bytes(message: Any) -> bytes:
    sent: bytes = message.SerializeToString()
    return sent
