"""Around every request: its id, who may, its time, its count, and an answer whatever happens inside."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.gate import Gate
from service.errors import CallerLeft, NotReady, RequestError, no_memory, unforeseen

log = logging.getLogger(__name__)

ROUTE = "harmgauge.route"
"""Where a scope says which route it took, if the framework did not find it."""

CLIENT_CLOSED_REQUEST = 499
"""Counted for a request that got no answer, as its client left."""

_GOOD_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Observer(Protocol):
    def answered(self, route: str, status: int | str, seconds: float) -> None: ...
    def rejected(self, reason: str) -> None: ...


class RequestMiddleware:
    """Pure ASGI: a request costs no task and no queue of its own.

    `X-Request-Id` is taken from the client where it is short and printable, and else made; the answer carries it.
    """

    def __init__(self, app: ASGIApp, observer: Observer, gate: Gate) -> None:
        self._app = app
        self._observer = observer
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        request_id = _request_id(scope)
        id_header = (b"x-request-id", request_id.encode("ascii"))
        scope["request_id"] = request_id
        status, started = CLIENT_CLOSED_REQUEST, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message["headers"] = [*message["headers"], id_header]
            await send(message)

        try:
            self._gate.check_http(scope)
            await self._app(scope, receive, send_with_id)
        except CallerLeft:
            pass
        except asyncio.CancelledError:  # the drain's end, and nothing else, cancels a request
            if started:
                raise
            await self._refuse(_stopped(), scope, receive, send_with_id)
        except MemoryError:
            log.error("request %s failed: out of memory", request_id)
            if started:
                raise
            await self._refuse(no_memory(), scope, receive, send_with_id)
        except RequestError as error:
            if error.__cause__ is not None:
                log.error("request %s: %s", request_id, error.detail, exc_info=error.__cause__)
            await self._refuse(error, scope, receive, send_with_id)
        except Exception:
            log.exception("request %s failed", request_id)
            if started:  # the answer has begun: the server can only cut it off
                self._observer.rejected("internal")
                raise
            await self._refuse(unforeseen(), scope, receive, send_with_id)
        finally:
            # Never the raw path: anyone could invent labels.
            route = scope[ROUTE] if ROUTE in scope else getattr(scope.get("route"), "path", "other")
            self._observer.answered(route, status, time.perf_counter() - begin)

    async def _refuse(self, error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
        self._observer.rejected(error.code)
        await problems.from_error(error, scope)(scope, receive, send)


def _stopped() -> NotReady:
    return NotReady("The service stopped before it had the answer; ask another replica.", {"Connection": "close"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GOOD_REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()


def new_request_id() -> str:
    return f"{random.getrandbits(128):032x}"
