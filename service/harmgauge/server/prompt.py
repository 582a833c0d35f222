"""Starts a small request as soon as it has been parsed, instead of in the event loop's next round."""

from __future__ import annotations

import asyncio
import contextvars
import types
import urllib.parse
import weakref
from collections.abc import Callable, Coroutine, Generator
from functools import lru_cache
from typing import Any

import httptools
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from harmgauge.api.scope import EXCHANGE
from harmgauge.server.exchange import ServerExchange
from harmgauge.server.protocol import OfferIgnoringHttpProtocol

_LONGEST_REMEMBERED_BYTES = 256


class PromptHttpProtocol(OfferIgnoringHttpProtocol):
    """Runs the first step of a request without a task, if `is_prompt` returns true for its scope and its body has
    arrived.

    If one step is enough for the response, the request needs no task; otherwise the rest runs in one. Uvicorn creates a
    task for each request, which begins in the event loop's next round: 20 us of CPU and a system call. The first step
    has no current task, so the application must not use `asyncio.timeout` in it.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's own
        is_prompt: Callable[[Any], bool] = lambda _: False,
        **named: Any,  # noqa: ANN401 - uvicorn's own
    ) -> None:
        super().__init__(*arguments, **named)
        self._is_prompt = is_prompt
        self._due: ServerExchange | None = None  # its head is complete, and no request is ahead of it

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        due, self._due = self._due, None
        if due is None:
            return
        if due.more_body or self.flow.write_paused or not self._is_prompt(due.scope):
            self._start_asgi_task(due, self.app)
        else:
            self._start_now(due)

    def on_headers_complete(self) -> None:
        """Replaces uvicorn's own method, which would create the task here."""
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        parse = _remembered_target if len(self.url) <= _LONGEST_REMEMBERED_BYTES else _target
        scope["path"], scope["raw_path"], scope["query_string"] = parse(self.url)
        waiting = self.cycle
        exchange = self.cycle = self._begin(scope, keep_alive=version != "1.0" and parser.should_keep_alive())
        if waiting is None or waiting.response_complete:
            self._due = exchange
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def _begin(self, scope: HTTPScope, *, keep_alive: bool) -> ServerExchange:
        exchange = ServerExchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        # A weak reference: the exchange refers to its scope, and the collector hardly ever runs.
        scope[EXCHANGE] = weakref.proxy(exchange)  # type: ignore[literal-required]  # ours, beside ASGI's
        return exchange

    def _start_now(self, exchange: RequestResponseCycle) -> None:
        answering, context = exchange.run_asgi(self.app), contextvars.copy_context()
        try:
            waited_for = context.run(answering.send, None)
        except StopIteration:
            return
        task = self.loop.create_task(_finish(answering, waited_for), context=context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


async def _finish(begun: Coroutine[Any, Any, None], waited_for: Any) -> None:  # noqa: ANN401 - asyncio's own
    await _rest(begun, waited_for)


@types.coroutine
def _rest(begun: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:  # noqa: ANN401 - asyncio's own
    """The rest of a coroutine whose first step has been run, and which waits for this."""
    try:
        while True:
            try:
                sent = yield waited_for
            except BaseException as error:  # a cancellation, for example
                waited_for = begun.throw(error)
            else:
                waited_for = begun.send(sent)
    except StopIteration:
        return


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, raw path and query of a request's target. Raises HttpParserInvalidURLError."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


_remembered_target = lru_cache(maxsize=64)(_target)
