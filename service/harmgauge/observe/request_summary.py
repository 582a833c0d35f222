"""A summary of a request for logs and traces, without its body and its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harmgauge.errors import InferenceFailed, RequestError


@dataclass(slots=True, kw_only=True)  # one for each request: creating a frozen one takes three times as long
class RequestSummary:
    """A request that has been answered, or never will be.

    `status` is HTTP's number or gRPC's name; `code` is that of the problem, None if there was none. `path` is None if
    it matched no route, because clients could put anything into it. `error` is the cause of a failure.
    """

    protocol: Literal["http", "grpc"]
    method: str
    route: str
    status: int | str
    seconds: float
    request_id: str
    bundle: str
    scheme: str = "http"
    path: str | None = None
    code: str | None = None
    key_name: str | None = None
    error: Exception | None = None

    @property
    def name(self) -> str:
        return self.route.removeprefix("/") if self.protocol == "grpc" else f"{self.method} {self.route}"

    @property
    def failure(self) -> BaseException | None:
        """The failure inside the service, if there was one."""
        return self.error.__cause__ if isinstance(self.error, RequestError) else self.error

    @property
    def words(self) -> str:
        """The failure's own message, unless it may quote the body. ONNX Runtime's only names nodes and shapes."""
        return f"{self.failure}" if isinstance(self.error, InferenceFailed) else ""

    @property
    def is_refused(self) -> bool:
        """Whether the response was a refusal."""
        return self.code is not None or (
            isinstance(self.status, int) and 400 <= self.status < 600 and self.status != 499
        )

    @property
    def is_our_fault(self) -> bool:
        """Whether the service failed, or did not answer in time; follows the conventions of HTTP and gRPC for
        servers.
        """
        if isinstance(self.status, int):
            return self.status >= 500
        return self.status in {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "DATA_LOSS", "UNIMPLEMENTED"}
