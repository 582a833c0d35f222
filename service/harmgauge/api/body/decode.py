"""Bytes of a request to one array of instances, or an error that says what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from harmgauge.api.body.arrays import read_npy, read_raw
from harmgauge.api.body.images import read_image
from harmgauge.api.body.json_body import read_json
from harmgauge.api.data_plane import THREAD_BODY_BYTES
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import InvalidParameters, UnknownMediaType, Unreadable

JSON = "application/json"
NPY = "application/x-npy"
RAW = "application/octet-stream"
IMAGES = {"image/png": "PNG", "image/jpeg": "JPEG"}


@dataclass(frozen=True)
class Parameters:
    """What the answer should hold besides scores, flags and predictions."""

    probabilities: bool = False
    correct: bool = False


_NO_PARAMETERS = Parameters()

_PARAMETERS = [field.name for field in fields(Parameters)]


@dataclass(frozen=True)
class ScoreRequest:
    """`instances` (n, *shape) in the bundle's dtype, n >= 1, every value finite and in range."""

    instances: Rows
    parameters: Parameters


@lru_cache(maxsize=8)
def media_types(spec: InputSpec) -> tuple[str, ...]:
    """What this bundle's input can be sent as."""
    return (JSON, NPY, RAW, *(IMAGES if spec.image else ()))


def named_type(content_type: str) -> str:
    """The media type that a `Content-Type` header names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def media_type(content_type: str, spec: InputSpec) -> str:
    """The media type that a `Content-Type` header names; raises UnknownMediaType where the bundle takes no such."""
    named = named_type(content_type)
    if named not in media_types(spec):
        raise UnknownMediaType(f"Content-Type {named!r} is not taken here; send one of {', '.join(media_types(spec))}.")
    return named


def is_large(body_bytes: int, media_type: str, spec: InputSpec) -> bool:
    """Whether reading such a body takes milliseconds. A picture's work lies in what it unpacks to."""
    return body_bytes > THREAD_BODY_BYTES or (media_type in IMAGES and spec.row_bytes > THREAD_BODY_BYTES / 4)


def read(body: bytes, media_type: str, query: dict[str, str], spec: InputSpec) -> ScoreRequest:
    """Read a body of one of `media_types`; `query` carries the parameters of those that have no place for them.

    Raises Unreadable, TooLarge, Unprocessable or InvalidParameters.
    """
    if not body:
        raise Unreadable("The body is empty.")
    given: dict[str, Any] = {name: _from_query(name, value) for name, value in query.items()}
    if media_type == JSON:
        instances, in_body = read_json(body, spec)
        given |= in_body
    elif media_type == NPY:
        instances = read_npy(body, spec)
    elif media_type == RAW:
        instances = read_raw(body, spec)
    else:
        instances = read_image(body, IMAGES[media_type], spec)
    return ScoreRequest(instances, _parameters(given) if given else _NO_PARAMETERS)


def _from_query(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise InvalidParameters(f"The parameter {name!r} must be true or false, not {value!r}.")
    return value == "true"


def _parameters(given: dict[str, Any]) -> Parameters:
    for name, value in given.items():
        if name not in _PARAMETERS:
            raise InvalidParameters(f"There is no parameter {name!r}; there are {', '.join(_PARAMETERS)}.")
        if not isinstance(value, bool):
            raise InvalidParameters(f"The parameter {name!r} must be true or false.")
    return Parameters(**given)
