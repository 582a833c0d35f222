"""Inference requests and responses as bytes: JSON, with tensors inside it or (binary extension) after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple

import orjson

from harmgauge.api.answer import FRAME_BYTES, Piece, binary_pieces, json_pieces, most_json_bytes
from harmgauge.api.body.decode import THREAD_JSON_BYTES
from harmgauge.api.body.fast_json import read_numbers
from harmgauge.api.body.json_body import MAX_LOOSE_BYTES
from harmgauge.api.body.json_frame import MARK, MAX_FRAME_BYTES, cut_out
from harmgauge.api.body.steps import Steps, collect, finish
from harmgauge.api.data_plane import THREAD_BODY_BYTES
from harmgauge.api.said import json_error, said
from harmgauge.api.v2 import parameters, tensors
from harmgauge.bundle.named_rows import AnyRows, RowsT_co
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import InvalidParameters, Unprocessable, Unreadable
from harmgauge.inference.scorer import Scored

LEAST_BYTES = 1024
"""Shorter JSON goes to the general reader, which is as fast for it."""

_NESTED = re.compile(rb"\[[ \t\r\n]*+\[")

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class InferRequest(Generic[RowsT_co]):
    """Validated instances, the requested outputs, each as (name, as bytes), and the request's own parameters.

    Of the parameters, only `timeout_seconds` is checked, and that none of them belongs to a tensor.
    """

    id: str | None
    instances: RowsT_co
    outputs: list[tuple[str, bool]]
    parameters: dict[str, Any]
    timeout_seconds: float | None


def is_large(body_bytes: int, header_length: str | None) -> bool:
    """Whether reading such a request takes a millisecond."""
    return body_bytes > (THREAD_JSON_BYTES if header_length is None else THREAD_BODY_BYTES)


def reading(
    body: bytes | bytearray, header_length: str | None, spec: InputSpec, offered: list[tensors.OutputSpec]
) -> Steps[InferRequest[Rows]]:
    """Read a request in steps; `header_length` is the value of the header of that name, if it was sent.

    Raises Unreadable or Unprocessable.
    """
    size = json_size(body, header_length)
    framed = cut_out(body, size, b"data") if size >= LEAST_BYTES else None
    if framed is not None and _holds_mark(framed.document):
        head = _head(framed.document, spec, offered)
        _check_place(head.tensor, binary_bytes=len(body) - size)
        is_nested = _NESTED.match(body, framed.begin, framed.begin + MAX_FRAME_BYTES)
        shape, kind = spec.shape if is_nested else (), spec.numpy_dtype.kind
        numbers = yield from read_numbers(body, framed.begin, framed.end, shape, kind, nulls=spec.missing)
        if numbers is not None:
            return head.request(tensors.from_array(numbers, head.shape, spec))
    if size > MAX_LOOSE_BYTES:
        raise Unprocessable(
            f"The JSON part is not just a tensor whose 'data' is a list of {spec.dtype}, flat or nested as its shape, "
            f"with at most {MAX_FRAME_BYTES} bytes around it; JSON above {MAX_LOOSE_BYTES} bytes is not examined "
            "further: send less at once for details, or send the input as a binary tensor."
        )
    try:
        document = orjson.loads(memoryview(body)[:size])
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The JSON part cannot be parsed: {json_error(error)}.") from None
    head = _head(document, spec, offered)
    if _check_place(head.tensor, binary_bytes=len(body) - size):
        return head.request(tensors.from_bytes(memoryview(body)[size:], head.shape, spec))
    return head.request(tensors.from_numbers(head.tensor["data"], head.shape, spec))


def json_size(body: bytes | bytearray, header_length: str | None) -> int:
    """The size of the JSON part, from the header if it was sent. Raises Unreadable."""
    if header_length is None:
        return len(body)
    # Checked as text first: Python refuses to parse thousands of digits.
    if not re.fullmatch("[0-9]{1,18}", header_length) or int(header_length) > len(body):
        raise Unreadable(f"{HEADER_LENGTH}: expected the size of the JSON part in bytes, at most {len(body)}.")
    return int(header_length)


def parse(
    body: bytes | bytearray, header_length: str | None, spec: InputSpec, offered: list[tensors.OutputSpec]
) -> InferRequest[Rows]:
    """Like `reading`, all at once."""
    return finish(reading(body, header_length, spec, offered))


def answer(model: str, version: str, request: InferRequest[AnyRows], scored: Scored) -> tuple[bytes, dict[str, str]]:
    """The body of a response and its headers."""
    document, chunks = _described(model, version, request, scored)
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([head, *chunks]), _headers(len(head), chunks)


def answering(
    model: str, version: str, request: InferRequest[AnyRows], scored: Scored
) -> Steps[tuple[list[Piece], dict[str, str]]]:
    """The same for a large response, in steps and in pieces."""
    document, chunks = _described(model, version, request, scored)
    head = yield from collect(json_pieces(document))
    return [*head, *chunks], _headers(sum(map(len, head)), chunks)


def _described(
    model: str, version: str, request: InferRequest[AnyRows], scored: Scored
) -> tuple[dict[str, Any], list[Piece]]:
    """The JSON part, and the bytes that follow it."""
    described: list[dict[str, Any]] = []
    chunks: list[Piece] = []
    arrays = tensors.output_arrays([name for name, _ in request.outputs], scored)
    for (name, binary), array in zip(request.outputs, arrays, strict=True):
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": tensors.DATATYPE_OF[array.dtype],
            "shape": list(array.shape),
        }
        if binary:
            chunks += binary_pieces(array)
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = array.reshape(-1)
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if request.id is not None:
        document["id"] = request.id
    return document, chunks


def _headers(head_bytes: int, chunks: list[Piece]) -> dict[str, str]:
    if not chunks:
        return {"Content-Type": "application/json"}
    return {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(head_bytes)}


def most_answer_bytes(rows: int, request: InferRequest[AnyRows], classes: int) -> int:
    """Upper bound on the bytes of a response to this many instances."""
    most = FRAME_BYTES + 6 * len(request.id or "")  # a character may become \\u0000
    return most + rows * sum(_most_row_bytes(name, classes, binary=binary) for name, binary in request.outputs)


@lru_cache(maxsize=64)
def _most_row_bytes(output: str, classes: int, *, binary: bool) -> int:
    dtype, width = tensors.number_type(output, classes)
    return width * dtype.itemsize if binary else most_json_bytes(1, [(dtype.name, width)])


class _Head(NamedTuple):
    """A request without its numbers: `tensor` is its one input, of an allowed `shape`."""

    id: str | None
    tensor: dict[str, Any]
    shape: tuple[int, ...]
    outputs: list[tuple[str, bool]]
    parameters: dict[str, Any]
    timeout_seconds: float | None

    def request(self, instances: Rows) -> InferRequest[Rows]:
        return InferRequest(self.id, instances, self.outputs, self.parameters, self.timeout_seconds)


def _head(document: object, spec: InputSpec, offered: list[tensors.OutputSpec]) -> _Head:
    if not isinstance(document, dict):
        raise Unprocessable("The request must be an object with 'inputs'.")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Unprocessable(f"'inputs' must be a list of one tensor, {spec.name!r}.")
    tensor = inputs[0]
    tensors.check_input(tensor.get("name"), tensor.get("datatype"), spec)
    parameters.check_input(parameters.given(tensor))
    shape = tensors.check_shape(tensor.get("shape"), spec)
    around = read_around(document, offered)
    return _Head(around.id, tensor, shape, around.outputs, around.parameters, around.timeout_seconds)


class Around(NamedTuple):
    """A request without its inputs."""

    id: str | None
    outputs: list[tuple[str, bool]]
    parameters: dict[str, Any]
    timeout_seconds: float | None


def read_around(document: dict[str, Any], offered: list[tensors.OutputSpec]) -> Around:
    """Read everything but the inputs. Raises Unprocessable or InvalidParameters."""
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Unprocessable(f"'id': expected a string, got {said(identity)}.")
    given = parameters.given(document)
    parameters.check_request(given)
    wanted = _wanted(document.get("outputs"), given, offered)
    return Around(identity, wanted, given, parameters.timeout_seconds(given))


def _holds_mark(document: object) -> bool:
    """Whether the part that was cut out is the data of the single input."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    return (
        isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict) and inputs[0].get("data") == MARK
    )


def _check_place(tensor: dict[str, Any], *, binary_bytes: int) -> bool:
    """Whether the input's numbers are the bytes after the JSON part, whose size must match; raises Unprocessable."""
    size = parameters.given(tensor).get("binary_data_size")
    if (size is None) == (tensor.get("data") is None):
        raise Unprocessable("The input needs either 'data' or the parameter 'binary_data_size'.")
    if size is None:
        if binary_bytes:
            raise Unprocessable(f"{binary_bytes} bytes follow the JSON part, but no tensor claims them.")
        return False
    if type(size) is not int:
        raise InvalidParameters(f"binary_data_size: expected a whole number, got {said(size)}.")
    if size != binary_bytes:
        raise Unprocessable(f"binary_data_size is {size}, but {binary_bytes} bytes follow the JSON part.")
    return True


def _wanted(wanted: object, given: dict[str, Any], offered: list[tensors.OutputSpec]) -> list[tuple[str, bool]]:
    all_binary = parameters.flag(given, "binary_data_output", default=False)
    if wanted is None or wanted == []:
        return [(output.name, all_binary) for output in offered]
    if isinstance(wanted, list) and len(wanted) > len(offered):
        raise Unprocessable(f"'outputs' requests {len(wanted)} outputs; only {len(offered)} are offered.")
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        raise Unprocessable("'outputs' must be a list of objects with a 'name'.")
    names = tensors.check_outputs([output.get("name") for output in wanted], offered)
    return [(name, _as_bytes(name, output, default=all_binary)) for name, output in zip(names, wanted, strict=True)]


def _as_bytes(name: str, output: dict[str, Any], *, default: bool) -> bool:
    given = parameters.given(output)
    parameters.check_output(given, name)
    return parameters.flag(given, "binary_data", default=default)
