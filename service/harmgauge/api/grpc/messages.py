"""Inference requests and responses in the protocol's messages: protobuf handles everything but the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from harmgauge.api.body.arrays import conform
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.steps import Steps
from harmgauge.api.grpc import numbers
from harmgauge.api.grpc.protocol import methods
from harmgauge.api.grpc.wire import CONTENTS, LENGTH, Chunk, Parts, block, malformed, split
from harmgauge.api.said import quoted
from harmgauge.api.v2 import named, parameters, tensors
from harmgauge.api.v2.routes import check_served
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.named_rows import AnyRows, NamedRows, RowsT_co
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import Unprocessable
from harmgauge.inference.scorer import Scored

_REQUEST, _RESPONSE = methods()["ModelInfer"]
_OUTPUT = type(_RESPONSE().outputs.add())

_OUTPUTS, _RAW_OUTPUT = 5 << 3 | LENGTH, 6 << 3 | LENGTH

_MOST_SIZES = 64
"""Maximum number of dimensions of a shape."""

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""The field for the numbers of each datatype; there is none for 16-bit floats."""

_NUMBER_BYTES = {"BOOL": 1, "FP32": 4, "INT64": 8}
"""Bytes per number in each output datatype."""


@dataclass(frozen=True)
class InferRequest(Generic[RowsT_co]):
    """A request's id, validated instances, requested outputs, whether to return them as bytes, and its own parameters.

    Of the parameters, only `timeout_seconds` is checked, and that none of them belongs to a tensor.
    """

    id: str
    instances: RowsT_co
    outputs: list[str]
    raw: bool
    parameters: dict[str, Any]
    timeout_seconds: float | None


def reading(
    data: bytes, manifest: Manifest, offered: list[tensors.OutputSpec], reader: NamedReader | None, max_rows: int
) -> Steps[InferRequest[AnyRows]]:
    """Read a ModelInferRequest for the served model in steps; `reader` is for a bundle with inputs by name.

    Raises Unreadable, UnknownModel, TooLarge or Unprocessable.
    """
    parts = split(data)
    message = envelope(parts)
    check_served(manifest, message.model_name, message.model_version)
    if reader is not None and manifest.is_named:
        return (yield from reading_named(message, parts, reader, offered, max_rows))
    yield from ()
    return parse(message, parts, manifest.input, offered)


def envelope(parts: Parts) -> Any:
    """Parse everything but the numbers with protobuf. Raises Unreadable."""
    try:
        return _REQUEST.FromString(parts.envelope)
    except DecodeError:
        raise malformed() from None


def parse(message: Any, parts: Parts, spec: InputSpec, offered: list[tensors.OutputSpec]) -> InferRequest[Rows]:
    """Read a message whose envelope has been parsed. Raises Unreadable or Unprocessable."""
    if len(message.inputs) != 1:
        raise Unprocessable(f"'inputs': expected one tensor, {spec.name!r}, got {len(message.inputs)}.")
    tensor = message.inputs[0]
    tensors.check_input(tensor.name, tensor.datatype, spec)
    parameters.check_input(_given(tensor.parameters))
    if len(tensor.shape) > _MOST_SIZES:
        raise Unprocessable(f"The input's shape has {len(tensor.shape)} dimensions; expected {1 + len(spec.shape)}.")
    shape = tensors.check_shape(list(tensor.shape), spec)
    around = _around(message, offered)
    if not parts.raw:
        array = _from_contents(parts.contents or [], tensor.datatype, shape, f"The {tensor.datatype} input")
        rows = conform(array, spec)
    elif len(parts.raw) != 1 or tensor.HasField("contents"):
        raise Unprocessable("Send the input exactly once, in 'contents' or in 'raw_input_contents'.")
    else:
        rows = tensors.from_bytes(parts.raw[0], shape, spec)
    return InferRequest(message.id, rows, around.outputs, bool(parts.raw), around.parameters, around.timeout_seconds)


class _Around(NamedTuple):
    """A request without its inputs."""

    outputs: list[str]
    parameters: dict[str, Any]
    timeout_seconds: float | None


def _around(message: Any, offered: list[tensors.OutputSpec]) -> _Around:
    outputs = tensors.check_outputs([output.name for output in message.outputs], offered)
    for output in message.outputs:
        parameters.check_output(_given(output.parameters), output.name)
    given = _given(message.parameters)
    parameters.check_request(given)
    return _Around(outputs, given, parameters.timeout_seconds(given))


def reading_named(
    message: Any,
    parts: Parts,
    reader: NamedReader,
    offered: list[tensors.OutputSpec],
    max_rows: int,
) -> Steps[InferRequest[NamedRows]]:
    """Read the tensors of a bundle with inputs by name: all in 'raw_input_contents', or each in its own contents."""
    around = _around(message, offered)
    sent = len(message.inputs)
    if not sent or (
        parts.raw and (len(parts.raw) != sent or any(each.HasField("contents") for each in message.inputs))
    ):
        raise Unprocessable("Send each input exactly once, in 'contents', or all in 'raw_input_contents', in order.")
    arrays: dict[str, Rows] = {}
    for at, tensor in enumerate(message.inputs):
        if len(tensor.shape) > _MOST_SIZES:
            raise Unprocessable(f"The shape of an input has {len(tensor.shape)} dimensions.")
        spec = named.check_tensor(tensor.name, tensor.datatype, list(tensor.shape), reader, max_rows)
        parameters.check_input(_given(tensor.parameters))
        name = spec.input.name
        if name in arrays:
            raise Unprocessable(f"The input {quoted(name)} is sent twice.")
        if parts.raw:
            arrays[name] = named.from_bytes(parts.raw[at], spec)
        elif spec.input.is_text:
            arrays[name] = named.from_strings(numbers.strings(parts.of_inputs[at], spec.size), spec)
        else:
            what = f"The {tensor.datatype} input {quoted(name)}"
            arrays[name] = _from_contents(parts.of_inputs[at], tensor.datatype, spec.shape, what)
    rows = yield from named.rows_of(arrays, reader, max_rows)
    return InferRequest(message.id, rows, around.outputs, bool(parts.raw), around.parameters, around.timeout_seconds)


def _given(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by name; one without a value counts as absent."""
    choices = [(name, value, value.WhichOneof("parameter_choice")) for name, value in sent.items()]
    return {name: getattr(value, choice) for name, value, choice in choices if choice is not None}


def _from_contents(chunks: Sequence[Chunk], datatype: str, shape: tuple[int, ...], what: str) -> Rows:
    """Numbers of an input, called `what` in errors, in their own dtype."""
    field = _CONTENTS.get(datatype)
    if field is None:
        raise Unprocessable(f"'contents' has no field for {datatype}: send the input in 'raw_input_contents'.")
    given = numbers.given(chunks)
    if given != [field]:
        raise Unprocessable(f"{what} must be in {field!r}; it is in {given or 'no field'}.")
    data = numbers.packed(chunks, field)
    count = numbers.count(data, field)
    tensors.check_size(count, shape)
    return numbers.unpack(data, field, count).reshape(shape)


def answer_bytes(asked: InferRequest[AnyRows], offered: list[tensors.OutputSpec]) -> int:
    """Upper bound, exact to a few bytes, on the bytes that the numbers of the response take."""
    one_row = (
        _NUMBER_BYTES[output.datatype] * (output.shape[1] if len(output.shape) > 1 else 1)
        for output in offered
        if output.name in asked.outputs
    )
    return len(asked.instances) * sum(one_row)


def answer(manifest: Manifest, asked: InferRequest[AnyRows], scored: Scored) -> bytes:
    """A ModelInferResponse; its numbers bypass protobuf."""
    arrays = tensors.output_arrays(asked.outputs, scored)
    head = _answer_head(manifest.name, manifest.version)
    if asked.id:
        head += _RESPONSE(id=asked.id).SerializeToString()
    outputs = _described(tuple(asked.outputs), tuple([(array.dtype, array.shape) for array in arrays]))
    if asked.raw:
        raw = [block(_RAW_OUTPUT, array.tobytes()) for array in arrays]
        return b"".join([head, *[output.whole for output in outputs], *raw])
    typed = []
    for output, array in zip(outputs, arrays, strict=True):
        contents = block(numbers.KINDS[output.field].number << 3 | LENGTH, numbers.pack(array))
        typed.append(block(_OUTPUTS, output.described, block(CONTENTS, contents)))
    return b"".join([head, *typed])


class _Output(NamedTuple):
    """An InferOutputTensor without numbers, alone and as part of a response; `field` is the field for its numbers."""

    described: bytes
    whole: bytes
    field: str


@lru_cache(maxsize=16)
def _answer_head(name: str, version: str) -> bytes:
    head: bytes = _RESPONSE(model_name=name, model_version=version).SerializeToString()
    return head


@lru_cache(maxsize=256)
def _described(names: tuple[str, ...], kinds: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]) -> list[_Output]:
    """Outputs by names, dtypes and shapes: identical for all requests with the same number of rows."""
    found = []
    for name, (dtype, shape) in zip(names, kinds, strict=True):
        datatype = tensors.DATATYPE_OF[dtype]
        described = _OUTPUT(name=name, datatype=datatype, shape=shape).SerializeToString()
        found.append(_Output(described, block(_OUTPUTS, described), _CONTENTS[datatype]))
    return found
