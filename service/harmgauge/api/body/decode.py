"""Converts the body of a request to one array of instances, or raises an error that explains what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Generic

from harmgauge.api.body.arrays import read_npy, read_raw
from harmgauge.api.body.images import read_image
from harmgauge.api.body.json_body import read_json
from harmgauge.api.body.media import IMAGES, JSON, NPY, NPZ, PARQUET, RAW
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.picture_room import PictureRoom
from harmgauge.api.body.steps import Steps, finish
from harmgauge.api.data_plane import THREAD_BODY_BYTES, Call
from harmgauge.api.said import quoted, said
from harmgauge.api.waiting import Check, patient
from harmgauge.bundle.image_spec import MODES
from harmgauge.bundle.named_rows import AnyRows, RowsT_co
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec, Served
from harmgauge.errors import InvalidParameters, UnknownMediaType, Unreadable

THREAD_JSON_BYTES = 16 * 2**10
"""JSON above this size is read on a thread: the general reader takes 200 us for it, and twenty times its memory."""

Body = bytes | bytearray

THREAD_PICTURE_BYTES = 12 * 2**10
"""Images above this size, compressed or not, are read on a thread. The worst of this size takes 2 ms, a plain one 0.1.
"""


@dataclass(frozen=True)
class Parameters:
    """Optional parts of the response besides scores, flags and predictions."""

    probabilities: bool = False
    correct: bool = False
    error_probability: bool = False


_NO_PARAMETERS = Parameters()

PARAMETERS = [field.name for field in fields(Parameters)]
"""Their names, in a body or in a query."""


@dataclass(slots=True)  # one for each request: creating a frozen one takes three times as long
class ScoreRequest(Generic[RowsT_co]):
    """`instances`, n >= 1, every value one that the input accepts."""

    instances: RowsT_co
    parameters: Parameters


def media_types(served: Served) -> tuple[str, ...]:
    """Media types that the bundle's inputs accept."""
    if not isinstance(served, InputSpec):
        return (JSON, NPZ, PARQUET)
    return (JSON, NPY, RAW, *((NPZ, PARQUET) if served.columns else ()), *(IMAGES if served.image else ()))


def named_type(content_type: str) -> str:
    """The media type that a `Content-Type` header names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def media_type(content_type: str, served: Served) -> str:
    """The media type named by a `Content-Type` header; raises UnknownMediaType if the bundle does not accept it."""
    accepted = media_types(served)
    if content_type in accepted:  # as most clients write it
        return content_type
    named = named_type(content_type)
    if named not in accepted:
        raise UnknownMediaType(
            f"Content-Type {named!r} is not supported; send one of {', '.join(accepted)}."
            + (_no_preparation(served) if named in IMAGES else "")
        )
    return named


def _no_preparation(served: Served) -> str:
    """Why a bundle for arrays that could be images does not take image files; empty for any other bundle."""
    if (
        not isinstance(served, InputSpec)
        or len(served.shape) != 3
        or not {served.shape[0], served.shape[-1]} & {*MODES}
    ):
        return ""
    return (
        f" The bundle takes arrays of shape {served.shape} and does not describe how to make them from an image; "
        "harmgauge build does, with --scale, --mean and --std."
    )


def is_large(body_bytes: int, media_type: str, spec: InputSpec) -> bool:
    """Whether reading this body may take a millisecond. For images, this also depends on the uncompressed size, which
    is any if the bundle resizes them.
    """
    if media_type == JSON:
        return body_bytes > THREAD_JSON_BYTES
    if media_type in IMAGES:
        resizes = spec.image is not None and spec.image.resizes
        return resizes or max(body_bytes, spec.row_size) > THREAD_PICTURE_BYTES
    return body_bytes > THREAD_BODY_BYTES


def read(
    body: Body, media_type: str, query: dict[str, bool], spec: InputSpec, check: Check = patient
) -> ScoreRequest[Rows]:
    """Read a body of one of `media_types`; `query` has the parameters from its URL.

    `check` is called regularly, and its exceptions end the work. Raises Unreadable, TooLarge, Unprocessable or
    InvalidParameters.
    """
    if media_type == JSON:
        return finish(reading(body, media_type, query, spec))
    parameters = _parameters(query)
    return ScoreRequest(_array(body, media_type, spec, check), parameters)


def reading(
    body: Body, media_type: str, query: dict[str, bool], spec: InputSpec, check: Check = patient
) -> Steps[ScoreRequest[Rows]]:
    """Like `read`, in steps."""
    if media_type != JSON:
        yield from ()
        return read(body, media_type, query, spec, check)
    if not body:
        raise _empty()
    instances, in_body = yield from read_json(body, spec)
    return ScoreRequest(instances, _parameters(query | _set(in_body)))


async def read_large(
    call: Call, body: Body, media_type: str, query: dict[str, bool], spec: InputSpec
) -> ScoreRequest[Rows]:
    """Read a large body on a thread. Raises what `read` raises, DeadlinePassed and CallerLeft."""
    if media_type not in IMAGES:
        return await call.in_steps(reading(body, media_type, query, spec, call.waiting))
    parameters = _parameters(query)
    room = call.plane.room
    return ScoreRequest(await call.on_image_thread(_array, body, media_type, spec, call.waiting, room), parameters)


async def read_named(
    call: Call, body: Body, media_type: str, query: dict[str, bool], reader: NamedReader
) -> ScoreRequest[AnyRows]:
    """Read a body for a bundle with inputs by name or by column, and hold the memory that it takes.

    Raises what `read` raises, UnknownMediaType, and Overloaded.
    """
    plane = call.plane
    opening = reader.opening(body, media_type, plane.max_rows, plane.max_body_bytes)
    if reader.is_large(len(body), media_type):
        opened = await call.in_steps(opening)
        if opened.extra_bytes > 0:
            call.hold(opened.extra_bytes)
        instances, in_body = await call.in_steps(opened.steps())
    else:
        instances, in_body = finish(finish(opening).steps())
    return ScoreRequest(instances, _parameters(query | _set(in_body)))


def _array(body: Body, media_type: str, spec: InputSpec, check: Check, room: PictureRoom | None = None) -> Rows:
    if not body:
        raise _empty()
    if media_type == NPY:
        return read_npy(body, spec)
    if media_type == RAW:
        return read_raw(body, spec)
    return read_image(bytes(body), IMAGES[media_type], spec, check, room)


def _empty() -> Unreadable:
    return Unreadable("The body is empty.")


def _set(in_body: dict[str, Any]) -> dict[str, bool]:
    """The parameters that a body sets; null counts as absent. Raises InvalidParameters."""
    for name, value in in_body.items():
        if name not in PARAMETERS:
            raise InvalidParameters(f"Unknown parameter {quoted(name)}; known: {', '.join(PARAMETERS)}.")
        if not isinstance(value, bool | None):
            raise InvalidParameters(f"The parameter {name!r}: expected true or false, got {said(value)}.")
    return {name: value for name, value in in_body.items() if value is not None}


def _parameters(given: dict[str, bool]) -> Parameters:
    return Parameters(**given) if given else _NO_PARAMETERS
