"""The gRPC server: the same data plane as `POST /score`, on a port of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.api.gate import Area, Gate
from service.api.grpc import messages
from service.api.grpc.protocol import SERVICE, methods
from service.api.middleware import Observer, new_request_id
from service.api.reading import THREAD_BODY_BYTES, Reading
from service.api.receive import CLIENT_HEADER, Intake
from service.api.v2 import tensors
from service.api.v2.routes import ServedModel, metadata
from service.errors import CallerLeft, RequestError, SettingsError, Unreadable, unforeseen
from service.inference.bundle import Manifest
from service.inference.caller import Caller
from service.inference.detector import Detector

log = logging.getLogger(__name__)

MAX_CALLS = 256
"""Calls at once; more are refused. Each may hold one message in memory before we see it."""

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Call = Callable[[Any, Any, Any], Awaitable[None]]
"""Fills a response: (request, response, context)."""


class GrpcServer:
    """Make and start it on a running event loop."""

    def __init__(
        self,
        manifest: Manifest,
        offered: list[tensors.OutputSpec],
        detector: Detector,
        intake: Intake,
        reading: Reading,
        *,
        observer: Observer,
        gate: Gate,
        port: int,
        tls: tuple[Path, Path] | None,
    ) -> None:
        self._port = port
        self._tls = tls
        self._gate = gate
        self._manifest = manifest
        self._detector = detector
        self._intake = intake
        self._reading = reading
        self._observer = observer
        self._served = ServedModel(manifest)
        self._offered = offered
        self._flags = tensors.without_scores(offered)
        calls: dict[str, Call] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        handlers = {name: self._handler(name, calls[name], *types) for name, types in methods().items()}
        largest = [("grpc.max_receive_message_length", intake.max_body_bytes), ("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(
            options=largest, maximum_concurrent_rpcs=MAX_CALLS, interceptors=[_AtTheGate(gate, self._refused)]
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def start(self, host: str) -> int:
        """Listen; returns the port, which the system chose where 0 was given. Raises SettingsError where it cannot."""
        address = f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
        try:
            bound: int = self._bind(address)
        except RuntimeError as error:
            raise SettingsError(f"cannot listen on {address} for gRPC: choose another HARMGAUGE_GRPC_PORT") from error
        await self._server.start()
        return bound

    def _bind(self, address: str) -> int:
        if self._tls is None:
            bound: int = self._server.add_insecure_port(address)
        else:
            certificate, key = (file.read_bytes() for file in self._tls)
            bound = self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        return bound

    async def stop(self, seconds: float) -> None:
        """Take no new calls; those in flight get so long to end."""
        await self._server.stop(seconds)

    def _handler(self, name: str, call: Call, request_type: Any, response_type: Any) -> grpc.RpcMethodHandler:
        route = f"/{SERVICE}/{name}"

        async def run(request: Any, context: Any) -> Any:
            begin = time.perf_counter()
            request_id = new_request_id()
            status = grpc.StatusCode.CANCELLED  # what stays, where the client left
            response = response_type()
            try:
                if request is None:
                    raise Unreadable(f"The message is no {request_type.DESCRIPTOR.name}.")
                await call(request, response, context)
                status = grpc.StatusCode.OK
            except RequestError as error:
                status = CODES.get(error.status, grpc.StatusCode.INTERNAL)
                self._refuse(context, status, error, request_id)
            except CallerLeft:
                pass
            except Exception:
                log.exception("request %s failed", request_id)
                status = grpc.StatusCode.INTERNAL
                self._refuse(context, status, unforeseen(), request_id)
            finally:
                self._observer.answered(route, status.name, time.perf_counter() - begin)
            return response

        return grpc.unary_unary_rpc_method_handler(run, partial(_read, request_type), response_type.SerializeToString)

    def _refused(self, route: str, error: RequestError) -> grpc.RpcMethodHandler:
        """Answers a call without having read its message, for which the handler has to be one of streams."""

        async def run(_: Any, context: Any) -> None:
            begin = time.perf_counter()
            status = CODES[error.status]
            self._refuse(context, status, error, new_request_id())
            self._observer.answered(route, status.name, time.perf_counter() - begin)

        return grpc.stream_unary_rpc_method_handler(run)

    def _refuse(self, context: Any, status: grpc.StatusCode, error: RequestError, request_id: str) -> None:
        if error.__cause__ is not None:
            log.error("request %s: %s", request_id, error.detail, exc_info=error.__cause__)
        self._observer.rejected(error.code)
        context.set_code(status)
        context.set_details(error.detail)
        more = [(name.lower(), value) for name, value in error.headers.items() if name == "Retry-After"]
        context.set_trailing_metadata([("code", error.code), ("x-request-id", request_id), *more])

    async def _infer(self, request: Any, response: Any, context: Any) -> None:
        self._served.check(request.model_name, request.model_version)
        self._intake.readiness.check()
        remaining = context.time_remaining()  # None where the client set no deadline
        seconds = self._intake.deadline_seconds if remaining is None else min(remaining, self._intake.deadline_seconds)
        sent = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        client = sent.get(CLIENT_HEADER.lower())
        caller = Caller(asyncio.get_running_loop().time() + seconds, context.cancelled, client)
        visitor = self._gate.check(Area.SCORES, _headers(context.invocation_metadata()))
        offered = self._offered if visitor.sees_scores else self._flags
        size_bytes = request.ByteSize()
        try:
            self._intake.hold(size_bytes)
            large = size_bytes > THREAD_BODY_BYTES
            asked = await self._reading.read(large, messages.parse, request, self._manifest.input, offered)
            visitor.take(len(asked.instances))
            scored = await self._detector.score(asked.instances, caller)
        finally:
            self._intake.release(size_bytes)
        response.model_name, response.model_version = self._manifest.name, self._manifest.version
        response.id = request.id
        messages.answer(response, asked, scored)

    async def _live(self, request: Any, response: Any, context: Any) -> None:
        response.live = True

    async def _ready(self, request: Any, response: Any, context: Any) -> None:
        response.ready = self._intake.readiness.reason is None

    async def _model_ready(self, request: Any, response: Any, context: Any) -> None:
        self._served.check(request.name, request.version)
        response.ready = self._intake.readiness.reason is None

    async def _server_metadata(self, request: Any, response: Any, context: Any) -> None:
        response.name, response.version = "harmgauge", version("harmgauge")

    async def _model_metadata(self, request: Any, response: Any, context: Any) -> None:
        self._served.check(request.name, request.version)
        visitor = self._gate.check(Area.SCORES, _headers(context.invocation_metadata()))
        known = metadata(self._manifest, self._offered if visitor.sees_scores else self._flags)
        response.name, response.platform = known["name"], known["platform"]
        response.versions.extend(known["versions"])
        for tensor in known["inputs"]:
            response.inputs.add(**tensor)
        for tensor in known["outputs"]:
            response.outputs.add(**tensor)


class _AtTheGate(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses a call by its head; `refused` makes the handler of one."""

    def __init__(self, gate: Gate, refused: Callable[[str, RequestError], grpc.RpcMethodHandler]) -> None:
        self._gate = gate
        self._refused = refused

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None:  # there is no such call
            return None
        try:
            self._gate.check(area_of(details.method), _headers(details.invocation_metadata))
        except RequestError as error:
            return self._refused(details.method, error)
        return handler


def _read(request_type: Any, message: bytes) -> Any:
    """The request; None where it is none, for what is raised here grpc would answer itself, as unknown."""
    try:
        return request_type.FromString(message)
    except DecodeError:
        return None


def area_of(method: str) -> Area:
    """Of a call: only whether the server is alive and ready needs no key."""
    return Area.HEALTH if method.endswith(("/ServerLive", "/ServerReady")) else Area.SCORES


def _headers(metadata: Any) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in metadata or () if name == "authorization"]
