"""What every request that is to be scored goes through, whatever protocol it came by.

    head -> Call (readiness, deadline, names) -> hold (bytes of all bodies) -> bytes to arrays -> score -> answer

Everything before `Call.score` is about bytes, everything behind it about arrays and the state that they change: a
process boundary could lie there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from harmgauge.auth.names import CLIENT, SOURCE, read_name
from harmgauge.auth.policy import Principal
from harmgauge.bundle.rows import Rows
from harmgauge.errors import Overloaded
from harmgauge.inference.caller import Origin, Progress, RequestContext
from harmgauge.inference.scorer import RequestScorer, Scored
from harmgauge.readiness import Readiness

THREAD_BODY_BYTES = 256 * 2**10
"""Bodies above this are read on a thread: the loop must not stand still for milliseconds."""

THREADS = 2
"""A large JSON body takes a multiple of its size while it is read, so only so many are read at a time."""

P = ParamSpec("P")
T = TypeVar("T")


class DataPlane:
    """The bounds that all calls share. `bodies_bytes` are those of all unanswered requests."""

    def __init__(
        self, readiness: Readiness, *, max_body_bytes: int, max_bodies_bytes: int, deadline_seconds: float
    ) -> None:
        self.readiness = readiness
        self.max_body_bytes = max_body_bytes
        self.max_bodies_bytes = max_bodies_bytes
        self.deadline_seconds = deadline_seconds
        self.bodies_bytes = 0
        self.threads = ThreadPoolExecutor(THREADS, "read")


class Call:
    """One request from its head to its answer; a context, which gives its bytes back.

    `seconds` is how long the client waits at most, `client` and `source` are the names that it sent. Raises NotReady
    (with `to_score=False` only while the service starts or drains) and BadRequest.
    """

    def __init__(
        self,
        plane: DataPlane,
        principal: Principal,
        origin: Origin,
        left: Callable[[], bool],
        progress: Progress | None,
        *,
        seconds: float | None = None,
        client: str | None = None,
        source: str | None = None,
        to_score: bool = True,
    ) -> None:
        if plane.readiness.reason is not None:  # every request looks, and nearly none has to ask further
            plane.readiness.check(to_score=to_score)
        self.plane = plane
        self.principal = principal
        self.held_bytes = 0
        most = plane.deadline_seconds
        self.context = RequestContext(
            asyncio.get_running_loop().time() + (most if seconds is None else min(seconds, most)),
            left,
            None if client is None else read_name(CLIENT, client, principal),
            None if source is None else read_name(SOURCE, source, principal),
            origin,
            progress,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.plane.bodies_bytes -= self.held_bytes

    def hold(self, size_bytes: int) -> None:
        """Count so many bytes more; raises Overloaded if those of all requests are too many."""
        plane = self.plane
        self.held_bytes += size_bytes
        plane.bodies_bytes += size_bytes
        if plane.bodies_bytes > plane.max_bodies_bytes:
            raise Overloaded(
                f"The bodies of all unanswered requests take {plane.max_bodies_bytes} bytes already; try again later.",
                retry_after_seconds=1,
                closes=True,
            )

    def name(self, parameters: Mapping[str, object]) -> None:
        """Take the names from the parameters of a V2 request, unless its head had them. Raises BadRequest."""
        client, source = parameters.get(CLIENT.lower()), parameters.get(SOURCE.lower())
        if client is not None or source is not None:
            self.context = replace(
                self.context,
                client=self.context.client or read_name(CLIENT, client, self.principal),
                source=self.context.source or read_name(SOURCE, source, self.principal),
            )

    def on_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Awaitable[T]:
        """What `function` gives for bytes that take long to read."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self.plane.threads, lambda: function(*arguments, **named))

    def score(self, scorer: RequestScorer, rows: Rows) -> Awaitable[Scored]:
        """Score checked rows. Raises TooManyRows for the key, and what the scorer raises."""
        if self.principal.bucket is not None:
            self.principal.bucket.take(len(rows))
        return scorer.score(rows, self.context)
