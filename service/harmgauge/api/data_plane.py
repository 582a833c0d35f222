"""The path of every request for scores, over any protocol.

head -> Call (readiness, deadline, names) -> hold (bytes of all bodies) -> bytes to arrays -> score -> answer

Everything before `Call.score` is about bytes, everything after it about arrays and the state that they change: a
process boundary could be placed there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from harmgauge.api.body.picture_room import PictureRoom
from harmgauge.api.body.step_threads import StepThreads
from harmgauge.api.body.steps import Steps, one_step
from harmgauge.api.budget import SMALL_BYTES, Budget, Claim
from harmgauge.api.waiting import Waiting
from harmgauge.auth.names import CLIENT, SOURCE, read_name
from harmgauge.auth.policy import Principal
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.inference.caller import Origin, Progress, RequestContext
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.scorer import RequestScorer, Scored
from harmgauge.readiness import Readiness

THREAD_BODY_BYTES = 256 * 2**10
"""Bodies above this size are read on a thread, so as not to block the event loop for milliseconds."""

THREADS = 2
"""Reading a large JSON body takes a multiple of its size in memory, so only this many are read at a time."""

P = ParamSpec("P")
T = TypeVar("T")


class DataPlane:
    """The bounds that all calls share."""

    def __init__(
        self,
        readiness: Readiness,
        *,
        max_body_bytes: int,
        max_bodies_bytes: int,
        deadline_seconds: float,
        max_rows: int,
        max_image_pixels: int,
    ) -> None:
        self.readiness = readiness
        self.max_body_bytes = max_body_bytes
        self.max_rows = max_rows
        self.deadline_seconds = deadline_seconds
        self.budget = Budget(max_bodies_bytes, max_body_bytes)
        self.threads = StepThreads(THREADS)
        self.room = PictureRoom(max_image_pixels)
        # Decoding a camera's image takes 50 ms without a pause, for which other bodies should not wait.
        self.image_threads = ThreadPoolExecutor(usable_cores(), "image")

    def deadline(self, came_at: float, seconds: float | None) -> float:
        """Deadline of a request that came at `came_at` and waits for at most `seconds`."""
        most = self.deadline_seconds
        return came_at + (most if seconds is None else min(seconds, most))


class Call:
    """One request from its head to its response; a context manager that releases its bytes.

    `connection` identifies a client without a key. `seconds` is the longest wait; `client` and `source` are the names
    that the client sent. Raises NotReady (with `to_score=False` only while the service starts or drains) and
    BadRequest.
    """

    def __init__(
        self,
        plane: DataPlane,
        principal: Principal,
        origin: Origin,
        left: Callable[[], bool],
        progress: Progress | None,
        *,
        connection: Hashable = None,
        seconds: float | None = None,
        client: str | None = None,
        source: str | None = None,
        to_score: bool = True,
    ) -> None:
        if plane.readiness.reason is not None:  # checked for every request; nearly none needs the slower path
            plane.readiness.check(to_score=to_score)
        self.plane = plane
        self.principal = principal
        self._came_at = asyncio.get_running_loop().time()  # a system call before Python 3.12
        self.held_bytes = 0
        self.holder = principal.name or connection
        self._is_kept = False  # true: keep the bytes after the context ends, until `release`
        self.context = RequestContext(
            plane.deadline(self._came_at, seconds),
            left,
            None if client is None else read_name(CLIENT, client, principal),
            None if source is None else read_name(SOURCE, source, principal),
            origin,
            self.holder,
            progress,
            connection,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_kept:
            self.release()

    def hold(self, size_bytes: int) -> None:
        """Add this many bytes to those held, starting with those of the body. Raises Overloaded or TooLarge."""
        self.held_bytes += size_bytes
        if self.held_bytes > SMALL_BYTES:
            self.plane.budget.resize(self.claim, self.held_bytes)

    def shrink(self, answer_bytes: int) -> None:
        """Hold only the bytes of the response."""
        self.plane.budget.shrink(self.claim, answer_bytes)

    def release(self) -> None:
        """Release the bytes."""
        if self.held_bytes > SMALL_BYTES:
            self.plane.budget.release(self.claim)

    def name(self, parameters: Mapping[str, object]) -> None:
        """Take the client's and source's names from the parameters of a V2 request, unless its head had them. Raises
        BadRequest.
        """
        client, source = parameters.get(CLIENT.lower()), parameters.get(SOURCE.lower())
        if client is not None or source is not None:
            self.context = replace(
                self.context,
                client=self.context.client or read_name(CLIENT, client, self.principal),
                source=self.context.source or read_name(SOURCE, source, self.principal),
            )

    def limit(self, seconds: float | None) -> None:
        """Shorten the wait to `seconds` from the request's arrival, if that is less. Raises DeadlinePassed if they are
        over.
        """
        if seconds is not None and self._came_at + seconds < self.context.deadline:
            self.context = replace(self.context, deadline=self._came_at + seconds)
            Waiting(self.context.deadline)()

    @cached_property
    def claim(self) -> Claim:
        """The bytes that count; a small request needs none."""
        return Claim(self.holder)

    @cached_property
    def waiting(self) -> Waiting:
        """A check for work on a thread, which raises once the response is no longer needed."""
        return Waiting(self.context.deadline)

    def on_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Awaitable[T]:
        """Run `function` for bytes that take long to read. Raises DeadlinePassed or CallerLeft."""
        return self.in_steps(one_step(function, *arguments, **named))

    def in_steps(self, steps: Steps[T]) -> Awaitable[T]:
        """Run steps of at most a millisecond each on a thread. Raises DeadlinePassed or CallerLeft."""
        return self.plane.threads.run(steps, self.waiting, self.context.left)

    def on_image_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Awaitable[T]:
        """Run `function`, which decodes an image. Raises DeadlinePassed or CallerLeft."""
        plane, steps = self.plane, one_step(function, *arguments, **named)
        return plane.threads.run(steps, self.waiting, self.context.left, plane.image_threads)

    def answer_in_steps(self, steps: Steps[T]) -> Awaitable[T]:
        """Run the steps that build a response. Its rows are already counted, so it is sent even after the deadline.
        Raises CallerLeft.
        """
        return self.plane.threads.run(steps, Waiting(), self.context.left)

    def score(self, scorer: RequestScorer, rows: AnyRows) -> Awaitable[Scored]:
        """Score validated rows. Raises RateLimited for the key, and the scorer's errors."""
        if self.principal.rate_limit is not None:
            self.principal.rate_limit.take_rows(len(rows))
        return scorer.score(rows, self.context)
