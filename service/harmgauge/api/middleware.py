"""Around every request: its id, who may, its time, its count, and an answer whatever happens inside."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harmgauge.api import problems
from harmgauge.api.scope import NO_ROUTE, PROGRESS, request_id_of, route_of
from harmgauge.auth.policy import PRINCIPAL, Authorizer, Permission
from harmgauge.errors import BadPath, CallerLeft, NotReady, RequestError, no_memory, unforeseen
from harmgauge.observe.access_log import AccessLog, Entry
from harmgauge.observe.request_summary import RequestSummary
from harmgauge.rollout.served import components_in

CLIENT_CLOSED_REQUEST = 499
"""Counted for a request that got no answer, as its client left."""

_LOOKS = ("/livez", "/readyz", "/v2/health/", "/metrics", "/page/", "/docs", "/openapi.json")
"""Paths of what only looks at the service, every few seconds: it begins no trace."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Of a path: to a router a line's end may be the path's end, to a log's reader a new line."""


class Observer(Protocol):
    def answered(self, route: str, status: int | str, seconds: float) -> None: ...
    def rejected(self, reason: str) -> None: ...


class RequestMiddleware:
    """Pure ASGI: a request costs no task and no queue of its own.

    If everything that `app` answers needs one `permission`, it is checked here. Otherwise each route checks its own
    (`guard.py`), and a request that no route checked is answered only to a key that may score.

    `X-Request-Id` is taken from the client where it is short and harmless, and else made; the answer carries it.
    """

    def __init__(
        self,
        app: ASGIApp,
        observer: Observer,
        authorizer: Authorizer,
        access_log: AccessLog,
        permission: Permission | None = None,
    ) -> None:
        self._app = app
        self._permission = permission
        self._observer = observer
        self._authorizer = authorizer
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        entry = self._begin(scope) if self._access_log.follows_all else None
        request_id = request_id_of(scope["headers"])
        id_header = (b"x-request-id", request_id.encode("ascii"))
        scope["request_id"] = request_id
        status, started = CLIENT_CLOSED_REQUEST, False
        failed: Exception | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                self._authorizer.check_unrouted(scope)
                status, started = message["status"], True
                message["headers"] = [*message["headers"], id_header]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_with_id)
        except CallerLeft:
            pass
        except asyncio.CancelledError:  # the drain's end, and nothing else, cancels a request
            if started:
                raise
            failed = NotReady(
                "The service stopped before it had the answer; ask another replica.", {"Connection": "close"}
            )
            await self._refuse(failed, scope, receive, send_with_id)
        except MemoryError:
            failed = no_memory()
            if started:
                raise
            await self._refuse(failed, scope, receive, send_with_id)
        except RequestError as error:
            failed = error
            await self._refuse(error, scope, receive, send_with_id)
        except Exception as error:
            failed = error
            if started:  # the answer has begun: the server can only cut it off
                self._observer.rejected("internal")
                raise
            await self._refuse(unforeseen(), scope, receive, send_with_id)
        finally:
            route, seconds = route_of(scope), time.perf_counter() - begin
            self._observer.answered(route, status, seconds)
            if status >= 400 or failed is not None or (entry is not None and entry.is_told):
                self._access_log.end(entry, self._answered(scope, route, status, seconds, failed))
            failed = None  # its traceback holds this frame: the two would keep the body until the collector comes round

    def _check(self, scope: Scope) -> None:
        if self._permission is not None:
            self._authorizer.check_http(scope, self._permission)
        elif _CONTROL.search(scope["path"]):
            raise BadPath("The path has a control character in it; /docs lists what there is.")

    def _begin(self, scope: Scope) -> Entry:
        path = scope["path"]
        entry = self._access_log.begin(scope["headers"], traced=path != "/" and not path.startswith(_LOOKS))
        scope[PROGRESS] = entry.progress
        return entry

    async def _refuse(self, error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault(PRINCIPAL, None)  # a refusal is for everyone
        self._observer.rejected(error.code)
        await problems.from_error(error, scope)(scope, receive, send)

    def _answered(
        self, scope: Scope, route: str, status: int, seconds: float, error: Exception | None
    ) -> RequestSummary:
        return RequestSummary(
            protocol="http",
            method=scope["method"],
            route=route,
            status=status,
            seconds=seconds,
            request_id=scope["request_id"],
            bundle=components_in(scope).title,
            scheme=scope["scheme"],
            path=scope["path"] if route != NO_ROUTE else None,
            code=scope.get(problems.CODE),
            key_name=self._authorizer.name_of(scope["headers"]),
            error=error,
        )
