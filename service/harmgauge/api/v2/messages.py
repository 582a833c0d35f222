"""Inference requests and answers as bytes: JSON, with tensors inside it or (binary extension) behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from harmgauge.api.answer import FRAME_BYTES, Piece, binary_pieces, json_pieces, most_json_bytes
from harmgauge.api.v2 import tensors
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import TooLarge, Unprocessable, Unreadable
from harmgauge.inference.scorer import Scored

HEADER_LENGTH = "Inference-Header-Content-Length"

_MAX_JSON_BYTES = 4 * 2**20
"""Nested lists take twenty times the JSON's memory, and hold up every thread while they are made."""


@dataclass(frozen=True)
class InferRequest:
    """Checked instances, the outputs wanted: (name, as bytes) each, and the request's own parameters, unchecked."""

    id: str | None
    instances: Rows
    outputs: list[tuple[str, bool]]
    parameters: dict[str, Any]


def parse(body: bytes, header_length: str | None, spec: InputSpec, offered: list[tensors.OutputSpec]) -> InferRequest:
    """Read a request; `header_length` is what the header of that name says, where it came.

    Raises Unreadable, TooLarge or Unprocessable.
    """
    size = len(body)
    if header_length is not None:
        # As text first: Python refuses to read thousands of digits.
        if not re.fullmatch("[0-9]{1,18}", header_length) or int(header_length) > len(body):
            raise Unreadable(f"{HEADER_LENGTH} must be the JSON part's size in bytes, at most {len(body)}.")
        size = int(header_length)
    if size > _MAX_JSON_BYTES:
        raise TooLarge(
            f"The JSON part has {size} bytes, at most {_MAX_JSON_BYTES} are read: send the input as a binary tensor."
        )
    try:
        document = orjson.loads(memoryview(body)[:size])
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The JSON part cannot be read: {error}.") from None
    if not isinstance(document, dict):
        raise Unprocessable("The request must be an object with 'inputs'.")
    instances = _input(document.get("inputs"), memoryview(body)[size:], spec)
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Unprocessable("'id' must be text.")
    return InferRequest(identity, instances, _wanted(document, offered), _parameters(document))


def answer(model: str, version: str, request: InferRequest, scored: Scored) -> tuple[list[Piece], dict[str, str]]:
    """The body of an answer, in pieces, and its headers; of many numbers it takes long to make."""
    described: list[dict[str, Any]] = []
    chunks: list[Piece] = []
    arrays = tensors.output_arrays([name for name, _ in request.outputs], scored)
    for (name, binary), array in zip(request.outputs, arrays, strict=True):
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": tensors.DATATYPES[array.dtype.name],
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
    head: list[Piece] = list(json_pieces(document))
    if not chunks:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(sum(map(len, head)))}
    return [*head, *chunks], headers


def most_answer_bytes(rows: int, request: InferRequest, classes: int) -> int:
    """The most bytes that the answer to so many instances takes."""
    most = FRAME_BYTES + 6 * len(request.id or "")  # a character may become \\u0000
    for name, binary in request.outputs:
        dtype, width = tensors.number_type(name, classes)
        most += rows * width * dtype.itemsize if binary else most_json_bytes(rows, [(dtype.name, width)])
    return most


def _input(inputs: object, binary: memoryview, spec: InputSpec) -> Rows:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Unprocessable(f"'inputs' must be a list of one tensor, {spec.name!r}.")
    tensor = inputs[0]
    tensors.check_input(tensor.get("name"), tensor.get("datatype"), spec)
    shape = tensors.check_shape(tensor.get("shape"), spec)
    size = _parameters(tensor).get("binary_data_size")
    if (size is None) == ("data" not in tensor):
        raise Unprocessable("The input needs either 'data' or the parameter 'binary_data_size'.")
    if size is None:
        if len(binary):
            raise Unprocessable(f"{len(binary)} bytes follow the JSON part, and no tensor lays claim to them.")
        return tensors.from_numbers(tensor["data"], shape, spec)
    if size != len(binary):
        raise Unprocessable(f"binary_data_size is {size}; {len(binary)} bytes follow the JSON part.")
    return tensors.from_bytes(binary, shape, spec)


def _wanted(document: dict[str, Any], offered: list[tensors.OutputSpec]) -> list[tuple[str, bool]]:
    all_binary = _flag(_parameters(document), "binary_data_output", default=False)
    wanted = document.get("outputs")
    if not wanted:
        return [(output.name, all_binary) for output in offered]
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        raise Unprocessable("'outputs' must be a list of objects with a 'name'.")
    tensors.check_outputs([output.get("name") for output in wanted], offered)
    return [(output["name"], _flag(_parameters(output), "binary_data", default=all_binary)) for output in wanted]


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Unprocessable("'parameters' must be an object.")
    return parameters


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise Unprocessable(f"The parameter {name!r} must be true or false.")
    return value
