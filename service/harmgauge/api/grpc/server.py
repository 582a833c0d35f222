"""The gRPC server: the same data plane as `POST /score`, on a port of its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from harmgauge.api.data_plane import THREAD_BODY_BYTES, DataPlane
from harmgauge.api.data_plane import Call as ScoreCall
from harmgauge.api.grpc import INFER_ROUTE, messages
from harmgauge.api.grpc.head import AuthorizingInterceptor, headers_of, permission_of
from harmgauge.api.grpc.protocol import SERVICE, methods
from harmgauge.api.middleware import request_id_of
from harmgauge.api.v2.routes import check_served, metadata
from harmgauge.api.views import views_of
from harmgauge.auth.names import CLIENT, SOURCE
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.errors import CallerLeft, RequestError, SettingsError, Unreadable, no_memory, unforeseen
from harmgauge.inference.caller import Origin, Progress
from harmgauge.observe.access_log import AccessLog
from harmgauge.observe.request_summary import RequestSummary
from harmgauge.rollout.served import ServedBundle

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


class CallContext(NamedTuple):
    """Of a call: its id, its metadata as HTTP's headers, and what its progress is noted in, if somebody wants it."""

    request_id: str
    headers: list[tuple[bytes, bytes]]
    progress: Progress | None


Call = Callable[[ServedBundle, Any, Any, Any, CallContext], Awaitable[None]]
"""Fills a response: (the bundle in service, request, response, context, what is known of the call)."""


class GrpcServer:
    """Make and start it on a running event loop; `current` gives the bundle that a call which begins now goes to."""

    def __init__(
        self,
        current: Callable[[], ServedBundle],
        plane: DataPlane,
        *,
        authorizer: Authorizer,
        access_log: AccessLog,
        port: int,
        tls: tuple[Path, Path] | None,
    ) -> None:
        self._port = port
        self._tls = tls
        self._authorizer = authorizer
        self._current = current
        self._plane = plane
        self._access_log = access_log
        calls: dict[str, Call] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        handlers = {name: self._handler(name, calls[name], *types) for name, types in methods().items()}
        options = [
            ("grpc.max_receive_message_length", plane.max_body_bytes),
            ("grpc.so_reuseport", 0),
            # None at all: the length is compared before a message is unpacked, and 400 KB can become 400 MB.
            ("grpc.compression_enabled_algorithms_bitset", 1),
        ]
        self._server = grpc.aio.server(
            options=options,
            maximum_concurrent_rpcs=MAX_CALLS,
            interceptors=[AuthorizingInterceptor(authorizer, self._refused)],
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

        async def run(sent: bytes, context: Any) -> Any:
            response = response_type()

            async def work(serving: ServedBundle, known: CallContext) -> None:
                try:  # here and not by gRPC, whose answer would have no id and be counted nowhere
                    request = request_type.FromString(sent)
                except DecodeError:
                    raise Unreadable(f"What was sent is no {request_type.DESCRIPTOR.full_name}.") from None
                await call(serving, request, response, context, known)

            await self._answer(route, context, work)
            return response

        return grpc.unary_unary_rpc_method_handler(run, None, response_type.SerializeToString)

    def _refused(self, route: str, error: RequestError) -> grpc.RpcMethodHandler:
        """Answers a call without having read its message, for which the handler has to be one of streams."""

        async def refuse(*_: object) -> None:
            raise error

        async def run(_: Any, context: Any) -> None:
            await self._answer(route, context, refuse)

        return grpc.stream_unary_rpc_method_handler(run)

    async def _answer(
        self, route: str, context: Any, work: Callable[[ServedBundle, CallContext], Awaitable[None]]
    ) -> None:
        """Have a call's work done; whatever becomes of it is answered, counted, logged and traced."""
        begin = time.perf_counter()
        headers = headers_of(context.invocation_metadata())
        entry = None
        if self._access_log.follows_all:
            entry = self._access_log.begin(headers, traced=permission_of(route) is not Permission.HEALTH)
        request_id = request_id_of(headers)
        context.set_trailing_metadata([("x-request-id", request_id)])
        status = grpc.StatusCode.CANCELLED  # what stays, where the client left
        failed: Exception | None = None
        code = None
        with self._current() as serving:
            try:
                await work(serving, CallContext(request_id, headers, None if entry is None else entry.progress))
                status = grpc.StatusCode.OK
            except CallerLeft:
                pass
            except MemoryError:
                failed = no_memory()
                status, code = self._refuse(context, failed, request_id)
            except Exception as error:
                failed = error
                status, code = self._refuse(context, error, request_id)
            finally:
                self._access_log.finish(
                    entry,
                    RequestSummary(
                        protocol="grpc",
                        method="POST",
                        route=route,
                        status=status.name,
                        seconds=time.perf_counter() - begin,
                        request_id=request_id,
                        bundle=serving.components.title,
                        code=code,
                        key_name=self._authorizer.name_of(headers),
                        error=failed,
                    ),
                )
                # Its traceback holds this frame: the two would keep the message until the collector comes round.
                failed = None

    def _refuse(self, context: Any, error: Exception, request_id: str) -> tuple[grpc.StatusCode, str]:
        """Tell the client; gives the status and the code that it was told."""
        told = error if isinstance(error, RequestError) else unforeseen()
        status = CODES.get(told.status, grpc.StatusCode.INTERNAL)
        context.set_code(status)
        context.set_details(told.detail)
        more = [] if told.retry_after_seconds is None else [("retry-after", str(told.retry_after_seconds))]
        context.set_trailing_metadata([("code", told.code), ("x-request-id", request_id), *more])
        return status, told.code

    async def _infer(
        self, serving: ServedBundle, request: Any, response: Any, context: Any, known: CallContext
    ) -> None:
        manifest = serving.bundle.manifest
        check_served(manifest, request.model_name, request.model_version)
        sent = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        principal = self._authorizer.check(Permission.SCORES, known.headers)
        offered = views_of(serving.components).outputs_for(principal)
        size_bytes = request.ByteSize()
        with ScoreCall(
            self._plane,
            principal,
            Origin(known.request_id, INFER_ROUTE, principal.name),
            context.cancelled,
            known.progress,
            seconds=context.time_remaining(),  # None if the client set no deadline
            client=sent.get(CLIENT.lower()),
            source=sent.get(SOURCE.lower()),
        ) as call:
            call.hold(size_bytes)
            if size_bytes > THREAD_BODY_BYTES:
                asked = await call.on_thread(messages.parse, request, manifest.input, offered)
            else:
                asked = messages.parse(request, manifest.input, offered)
            if asked.parameters:
                call.name(asked.parameters)
            scored = await call.score(serving.components.scorer, asked.instances)
        response.model_name, response.model_version = manifest.name, manifest.version
        response.id = request.id
        messages.answer(response, asked, scored)

    async def _live(self, serving: ServedBundle, request: Any, response: Any, context: Any, _: object) -> None:
        response.live = self._plane.readiness.failure is None

    async def _ready(self, serving: ServedBundle, request: Any, response: Any, context: Any, _: object) -> None:
        response.ready = self._plane.readiness.unready is None

    async def _model_ready(self, serving: ServedBundle, request: Any, response: Any, context: Any, _: object) -> None:
        check_served(serving.bundle.manifest, request.name, request.version)
        response.ready = self._plane.readiness.unready is None

    async def _server_metadata(
        self, serving: ServedBundle, request: Any, response: Any, context: Any, _: object
    ) -> None:
        response.name, response.version = "harmgauge", version("harmgauge")

    async def _model_metadata(
        self, serving: ServedBundle, request: Any, response: Any, _: object, known: CallContext
    ) -> None:
        check_served(serving.bundle.manifest, request.name, request.version)
        principal = self._authorizer.check(Permission.SCORES, known.headers)
        about = metadata(serving.bundle.manifest, views_of(serving.components).outputs_for(principal))
        response.name, response.platform = about["name"], about["platform"]
        response.versions.extend(about["versions"])
        for tensor in about["inputs"]:
            response.inputs.add(**tensor)
        for tensor in about["outputs"]:
            response.outputs.add(**tensor)
