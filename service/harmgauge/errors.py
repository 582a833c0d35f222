"""Possible failures, one class each.

bytes of a request --(Unreadable, TooLarge, UnknownMediaType)--> array
array --(Unprocessable)--> instances --(Overloaded, NotReady)--> queue
queue --(DeadlinePassed)--> graph --(NonFiniteScore, InferenceFailed)--> scores

Every class carries its HTTP status and a stable `code`; `detail` names the problem and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

_LONGEST_DETAIL = 400


def clipped(detail: str) -> str:
    """Clip to 400 characters: errors may quote a client's input, but must not return megabytes of it."""
    return detail if len(detail) <= _LONGEST_DETAIL else f"{detail[: _LONGEST_DETAIL - 3]}..."


class BundleError(Exception):
    """A bundle that must not be served; the message names the file and the reason.

    At start-up the service refuses to start; while it runs, it keeps serving the previous bundle.
    """


class CallerLeft(Exception):
    """The client has disconnected: nothing is scored or answered."""


class SettingsError(Exception):
    """An invalid setting; the message names the environment variable and the remedy."""


class RequestError(Exception):
    """A failure that is returned as the response to one request.

    `retry_after_seconds` is when a retry of the same request may succeed, `closes` whether the connection should be
    closed: each protocol expresses these in its own way. `headers` are for HTTP only.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        retry_after_seconds: int | None = None,
        closes: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        detail = clipped(detail)
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.closes = closes
        self.headers = headers or {}


def unforeseen() -> RequestError:
    """The error that the client gets for an unforeseen failure, without internals."""
    return RequestError("The service failed unexpectedly; its log has the details.")


def no_memory() -> OutOfMemory:
    """The error for a request that only lacks memory: a smaller request, or the same one later, may succeed."""
    return OutOfMemory(
        "There is not enough memory for this request now; send fewer instances at once, or try again later.",
        retry_after_seconds=1,
        closes=True,
    )


class Unreadable(RequestError):
    status, code, title = HTTPStatus.BAD_REQUEST, "unreadable_body", "Unreadable body"


class TooLarge(RequestError):
    status, code, title = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "Request too large"


class UnknownMediaType(RequestError):
    status, code, title = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unknown_media_type", "Unknown media type"


class Unprocessable(RequestError):
    status, code, title = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_instances", "Invalid instances"


class UnknownCategory(Unprocessable):
    """A string is not one of the categories of `column`, which the bundle refuses."""

    def __init__(self, detail: str, column: str) -> None:
        super().__init__(detail)
        self.column = column


class InvalidParameters(RequestError):
    status, code, title = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameters", "Invalid parameters"


class BadRequest(RequestError):
    status, code, title = HTTPStatus.BAD_REQUEST, "bad_request", "Bad request"


class Unauthorized(RequestError):
    status, code, title = HTTPStatus.UNAUTHORIZED, "unauthorized", "Unauthorized"


class Forbidden(RequestError):
    status, code, title = HTTPStatus.FORBIDDEN, "forbidden", "Forbidden"


class UnknownModel(RequestError):
    status, code, title = HTTPStatus.NOT_FOUND, "unknown_model", "Unknown model"


class UnknownService(RequestError):
    status, code, title = HTTPStatus.NOT_FOUND, "unknown_service", "Unknown gRPC service"


class NotOffered(RequestError):
    status, code, title = HTTPStatus.NOT_FOUND, "not_offered", "Not offered by this bundle"


class UnknownSource(RequestError):
    status, code, title = HTTPStatus.NOT_FOUND, "unknown_source", "Unknown source"


class SwapInProgress(RequestError):
    status, code, title = HTTPStatus.CONFLICT, "swap_in_progress", "Another bundle is being loaded"


class BundleRefused(RequestError):
    status, code, title = HTTPStatus.UNPROCESSABLE_ENTITY, "bundle_refused", "Bundle refused"


class NoShadow(RequestError):
    status, code, title = HTTPStatus.NOT_FOUND, "no_shadow", "No shadow"


class ShadowFails(RequestError):
    status, code, title = HTTPStatus.CONFLICT, "shadow_fails", "The shadow is failing"


class Overloaded(RequestError):
    status, code, title = HTTPStatus.TOO_MANY_REQUESTS, "queue_full", "Queue full"


class RateLimited(RequestError):
    status, code, title = HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "Rate limit exceeded"


class NotReady(RequestError):
    status, code, title = HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "Not ready"


class NotAlive(RequestError):
    status, code, title = HTTPStatus.SERVICE_UNAVAILABLE, "not_alive", "Restart needed"


class DeadlinePassed(RequestError):
    status, code, title = HTTPStatus.GATEWAY_TIMEOUT, "deadline_passed", "Deadline exceeded"


class OutOfMemory(RequestError):
    status, code, title = HTTPStatus.SERVICE_UNAVAILABLE, "out_of_memory", "Out of memory"


class NonFiniteScore(RequestError):
    code, title = "non_finite_score", "Non-finite score"


class InferenceFailed(RequestError):
    code, title = "inference_failed", "Inference failed"
