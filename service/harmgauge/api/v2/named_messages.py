"""Inference requests for a bundle with inputs by name, as bytes: several tensors, each in the JSON part or after it."""

from __future__ import annotations

from typing import Any

import orjson

from harmgauge.api.body.fast_json import read_numbers
from harmgauge.api.body.json_frame import cut_out_all, mark
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.steps import Steps
from harmgauge.api.said import json_error, quoted, said
from harmgauge.api.v2 import named, parameters, tensors
from harmgauge.api.v2.messages import InferRequest, json_size, read_around
from harmgauge.bundle.manifest import MAX_INPUTS
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.bundle.rows import Array
from harmgauge.errors import InvalidParameters, Unprocessable, Unreadable

MAX_FRAME_BYTES = 256 * 2**10
"""Limit for the JSON part without long lists of numbers, so for strings: 4 ms, during which no other thread runs."""


def reading(
    body: bytes | bytearray,
    header_length: str | None,
    reader: NamedReader,
    offered: list[tensors.OutputSpec],
    max_rows: int,
) -> Steps[InferRequest[NamedRows]]:
    """Read a request in steps. Raises Unreadable, TooLarge, Unprocessable or InvalidParameters."""
    size = json_size(body, header_length)
    framed = cut_out_all(body, size, b"data", MAX_INPUTS, MAX_FRAME_BYTES)
    if framed is None:
        _refuse(body, size)
        raise Unprocessable(
            f"The JSON part has more than {MAX_FRAME_BYTES} bytes besides its numbers: send strings as binary tensors."
        )
    document = framed.document
    if not isinstance(document, dict):
        raise Unprocessable("The request must be an object with 'inputs'.")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or len(inputs) > MAX_INPUTS:
        raise Unprocessable("'inputs' must be a list of tensors.")
    around = read_around(document, offered)
    arrays: dict[str, Array] = {}
    lists = {mark(index): span for index, span in enumerate(framed.spans)}
    at = size
    for tensor in inputs:
        if not isinstance(tensor, dict):
            raise Unprocessable(f"'inputs' must be a list of tensors; got {said(tensor)} in it.")
        spec = named.check_tensor(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"), reader, max_rows)
        name = spec.input.name
        if name in arrays:
            raise Unprocessable(f"The input {quoted(name)} is sent twice.")
        given = parameters.given(tensor)
        parameters.check_input(given)
        binary_bytes, data = given.get("binary_data_size"), tensor.get("data")
        if (binary_bytes is None) == (data is None):
            raise Unprocessable(f"The input {quoted(name)} needs either 'data' or the parameter 'binary_data_size'.")
        if binary_bytes is not None:
            arrays[name] = named.from_bytes(_binary(body, at, binary_bytes), spec)
            at += binary_bytes
        elif isinstance(data, str) and data in lists:
            arrays[name] = yield from _long(body, *lists.pop(data), spec)
        else:
            arrays[name] = named.from_data(data, spec)
    if lists:  # a list that nothing reads may be anything, even no JSON
        raise Unprocessable("A list under 'data' belongs to no input, or an input has 'data' twice: send it once.")
    if at != len(body):
        raise Unprocessable(f"{len(body) - at} bytes follow the JSON part, but no tensor claims them.")
    rows = yield from named.rows_of(arrays, reader, max_rows)
    return InferRequest(around.id, rows, around.outputs, around.parameters, around.timeout_seconds)


def _long(body: bytes | bytearray, begin: int, end: int, spec: named.TensorSpec) -> Steps[Array]:
    """A long list of numbers, flat or nested."""
    if spec.input.is_text:
        raise Unprocessable(f"The data of the input {quoted(spec.input.name)}: expected strings.")
    is_nested = body[begin + 1 : begin + 64].lstrip()[:1] == b"["
    kind = tensors.kind_of(spec.input.dtype)
    shape = spec.shape[1:] if is_nested else ()
    numbers = yield from read_numbers(body, begin, end, shape, kind, nulls=spec.input.missing)
    if numbers is None:
        raise Unprocessable(
            f"The data of the input {quoted(spec.input.name)} is not a list of numbers, flat or nested as its shape; "
            "send less at once for details."
        )
    tensors.check_size(numbers.size, spec.shape)
    return numbers.reshape(spec.shape)


def _binary(body: bytes | bytearray, at: int, size: Any) -> memoryview:  # noqa: ANN401 - checked here
    if type(size) is not int or size < 0:
        raise InvalidParameters(f"binary_data_size: expected a whole number, got {said(size)}.")
    if at + size > len(body):
        raise Unprocessable(f"binary_data_size is {size}, but only {len(body) - at} bytes follow for it.")
    return memoryview(body)[at : at + size]


def _refuse(body: bytes | bytearray, size: int) -> None:
    """Raises Unreadable if a short enough JSON part is not JSON."""
    if size <= MAX_FRAME_BYTES:
        try:
            orjson.loads(memoryview(body)[:size])
        except orjson.JSONDecodeError as error:
            raise Unreadable(f"The JSON part cannot be parsed: {json_error(error)}.") from None
