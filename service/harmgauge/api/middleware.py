"""Wraps every request: id, permission, timing, counting, and a response whatever fails inside.

The routes that carry the traffic bypass the framework's layers. A round trip was measured to take 68 us of CPU through
FastAPI and 22 us through a plain ASGI handler; the inference of an image takes about 1,100. A hot route is found with
one dictionary look-up; FastAPI serves everything else, including the OpenAPI page, and both run the same handler.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harmgauge.api import problems
from harmgauge.api.answer import WholeResponse
from harmgauge.api.body.intake import left_by
from harmgauge.api.exchange import Exchange
from harmgauge.api.scope import EXCHANGE, NO_ROUTE, PROGRESS, ROUTE, route_of
from harmgauge.api.turnstile import Turnstiles
from harmgauge.auth.policy import PRINCIPAL, Authorizer, Permission, Principal
from harmgauge.errors import BadRequest, CallerLeft, NotReady, RequestError, no_memory, unforeseen
from harmgauge.observe.access_log import AccessLog, Entry
from harmgauge.observe.request_summary import RequestSummary
from harmgauge.rollout.served import COMPONENTS, SERVED, Components, ServedBundle

CLIENT_CLOSED_REQUEST = 499
"""Counted for a request that got no response because its client left."""

_PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""An orchestrator's liveness and readiness paths: they never wait behind requests that only observe."""

_BODILESS = ("GET", "HEAD")

_LOOKS = (*_PROBES, "/metrics", "/page/", "/docs", "/openapi.json")
"""Paths polled every few seconds to observe the service: they begin no trace."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters in a path: a router may treat a line break as the path's end, and a log reader as a new line."""

_REQUEST_ID = b"x-request-id"

_GOOD = re.compile(rb"[A-Za-z0-9._:;,=+/@~-]{1,128}")
"""Characters that no terminal, log reader or query can mistake for anything but a name."""


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's own id if it is acceptable, otherwise a new one; header names are in lower case."""
    for name, value in headers:
        if name == _REQUEST_ID and _GOOD.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"


Handler = Callable[[Request], Awaitable[Response]]


class HotRoute(NamedTuple):
    """A route's name in metrics, and its handler for requests that are permitted to score."""

    name: str
    handler: Handler


class HotRoutes:
    """`routes` are the hot routes by the exact path of a POST; `others` handles everything else."""

    def __init__(
        self,
        others: ASGIApp,
        routes: dict[str, HotRoute],
        authorizer: Authorizer,
        access_log: AccessLog,
        turnstiles: Turnstiles,
    ) -> None:
        self._others = others
        self._hot = {
            path: (route.name, RequestMiddleware(None, authorizer, access_log, turnstiles, route.handler))
            for path, route in routes.items()
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._hot:
            scope[ROUTE], middleware = self._hot[scope["path"]]
            return middleware(scope, receive, send)
        return self._others(scope, receive, send)


class RequestMiddleware:
    """Pure ASGI: a request needs neither its own task nor its own queue.

    A `hot` route requires the permission to score, which is checked here. Every other request goes to `app`, whose
    routes check their own permissions (`guard.py`); a response that no route checked is sent only to a key that may
    score.

    `X-Request-Id` is taken from the client if it is short and harmless, and generated otherwise; the response carries
    it.
    """

    def __init__(
        self,
        app: ASGIApp | None,
        authorizer: Authorizer,
        access_log: AccessLog,
        turnstiles: Turnstiles,
        hot: Handler | None = None,
    ) -> None:
        self._app = app
        self._hot = hot
        self._authorizer = authorizer
        self._access_log = access_log
        self._turnstiles = turnstiles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        served: ServedBundle = scope[SERVED]
        scope["request_id"] = request_id = request_id_of(scope["headers"])
        with served:
            entry = self._begin(scope) if self._access_log.follows_all else None
            sender: _Sender | None = None
            status: int | None = None  # until the response begins
            failed: Exception | None = None
            try:
                if self._hot is None:
                    sender = _Sender(send, scope, self._authorizer)
                    await self._look(scope, receive, sender)
                else:
                    try:
                        self._authorizer.check_http(scope, Permission.SCORES)
                    except RequestError:  # as fast as operators' requests, and no faster
                        await self._turnstiles.looks.enter(_address(scope))
                        raise
                    self._turnstiles.traffic.came_at = begin
                    response = await self._hot(Request(scope, receive))
                    response.raw_headers.append((_REQUEST_ID, request_id.encode("ascii")))
                    exchange: Exchange | None = scope.get(EXCHANGE)
                    status = response.status_code
                    if (
                        exchange is None
                        or not isinstance(response, WholeResponse)
                        or not exchange.answer(status, response.raw_headers, response.body)
                    ):
                        await response(scope, receive, send)
            except CallerLeft:
                pass
            except (Exception, asyncio.CancelledError) as error:
                failed = _failure(error)
                if (status if sender is None else sender.status) is not None:
                    raise  # the response has begun: the server can only cut it off
                sender = _Sender(send, scope, self._authorizer)
                await self._refuse(failed, scope, receive, sender)
            finally:
                seconds = time.perf_counter() - begin
                if sender is None and status is not None and failed is None and entry is None:
                    self._access_log.succeeded(scope[ROUTE], status, seconds)
                else:
                    self._finish(scope, entry, status if sender is None else sender.status, seconds, failed)
                # Its traceback references this frame: the cycle would keep the body until the garbage collector runs.
                failed = None

    def _finish(
        self, scope: Scope, entry: Entry | None, status: int | None, seconds: float, failed: Exception | None
    ) -> None:
        route = scope[ROUTE] if ROUTE in scope else route_of(scope)
        principal: Principal | None = scope.get(PRINCIPAL)
        name = self._authorizer.name_of(scope["headers"]) if principal is None else principal.name
        code = scope.get(problems.CODE)
        if code is None and failed is not None:
            code = getattr(failed, "code", RequestError.code)
        components: Components = scope[COMPONENTS]
        self._access_log.finish(
            entry,
            RequestSummary(
                protocol="http",
                method=scope["method"],
                route=route,
                status=CLIENT_CLOSED_REQUEST if status is None else status,
                seconds=seconds,
                request_id=scope["request_id"],
                bundle=components.title,
                scheme=scope["scheme"],
                path=scope["path"] if route != NO_ROUTE else None,
                code=code,
                key_name=name or None,
                error=failed,
            ),
        )

    async def _look(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass non-traffic requests to the framework a few at a time; drop those whose clients left."""
        turnstile = self._turnstiles.probes if scope["path"] in _PROBES else self._turnstiles.looks
        waited = await turnstile.enter(_address(scope))
        if waited and scope["method"] in _BODILESS and left_by(scope, receive)():
            raise CallerLeft
        if _CONTROL.search(scope["path"]):
            raise BadRequest("The path contains a control character; /docs lists the routes.")
        assert self._app is not None
        await self._app(scope, receive, send)

    def _begin(self, scope: Scope) -> Entry:
        path = scope["path"]
        entry = self._access_log.begin(scope["headers"], traced=path != "/" and not path.startswith(_LOOKS))
        scope[PROGRESS] = entry.progress
        return entry

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault(PRINCIPAL, None)  # a refusal may be sent without a permission check
        told = error if isinstance(error, RequestError) else unforeseen()
        await problems.from_error(told, scope)(scope, receive, send)


class _Sender:
    """Adds the request's id to the response. `status` is None until it begins."""

    __slots__ = ("_authorizer", "_scope", "_send", "status")

    def __init__(self, send: Send, scope: Scope, authorizer: Authorizer) -> None:
        self._send, self._scope, self._authorizer = send, scope, authorizer
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._authorizer.check_unrouted(self._scope)
            self.status = message["status"]
            id_header = (_REQUEST_ID, self._scope["request_id"].encode("ascii"))
            message["headers"] = [*message["headers"], id_header]
        await self._send(message)


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _failure(error: BaseException) -> Exception:
    """The cause of a request's failure, as reported in metrics and the log."""
    if isinstance(error, asyncio.CancelledError):  # only the end of the drain cancels requests
        return NotReady("The service stopped before it could answer; try another replica.", closes=True)
    if isinstance(error, MemoryError):
        return no_memory()
    assert isinstance(error, Exception)
    return error
