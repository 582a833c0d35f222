"""Inference requests and answers as the protocol's messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harmgauge.api.body.arrays import conform
from harmgauge.api.v2 import tensors
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import Unprocessable
from harmgauge.inference.scorer import Scored

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
"""The field that holds a datatype's numbers; halves have none."""

_DTYPES = {
    "bool_contents": np.bool_,
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "uint_contents": np.uint32,
    "fp32_contents": np.float32,
    "fp64_contents": np.float64,
}


@dataclass(frozen=True)
class InferRequest:
    """Checked instances, the names of the outputs wanted, whether they are wanted as bytes, and the request's own
    parameters, unchecked.
    """

    instances: Rows
    outputs: list[str]
    raw: bool
    parameters: dict[str, Any]


def parse(message: Any, spec: InputSpec, offered: list[tensors.OutputSpec]) -> InferRequest:
    """Read a ModelInferRequest; raises Unprocessable."""
    if len(message.inputs) != 1:
        raise Unprocessable(f"'inputs' must be one tensor, {spec.name!r}; {len(message.inputs)} came.")
    tensor = message.inputs[0]
    tensors.check_input(tensor.name, tensor.datatype, spec)
    shape = tensors.check_shape(list(tensor.shape), spec)
    outputs = tensors.check_outputs([output.name for output in message.outputs], offered)
    raw = bool(message.raw_input_contents)
    if not raw:
        rows = _from_contents(tensor, shape, spec)
    elif len(message.raw_input_contents) != 1 or tensor.HasField("contents"):
        raise Unprocessable("The input must come once, in 'contents' or in 'raw_input_contents'.")
    else:
        rows = tensors.from_bytes(memoryview(message.raw_input_contents[0]), shape, spec)
    return InferRequest(rows, outputs, raw, {name: _value(value) for name, value in message.parameters.items()})


def _value(parameter: Any) -> Any:
    field = parameter.WhichOneof("parameter_choice")
    return None if field is None else getattr(parameter, field)


def _from_contents(tensor: Any, shape: tuple[int, ...], spec: InputSpec) -> Rows:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise Unprocessable(f"{tensor.datatype} has no place in 'contents': send the input in 'raw_input_contents'.")
    given = [found.name for found, _ in tensor.contents.ListFields()]
    if given != [field]:
        raise Unprocessable(f"The input of {tensor.datatype} must be in {field!r}; it is in {given or 'none'}.")
    numbers = getattr(tensor.contents, field)
    tensors.check_size(len(numbers), shape)
    return conform(np.fromiter(numbers, _DTYPES[field], len(numbers)).reshape(shape), spec)


def answer(response: Any, request: InferRequest, scored: Scored) -> None:
    """Fill the outputs of a ModelInferResponse."""
    for name, array in zip(request.outputs, tensors.output_arrays(request.outputs, scored), strict=True):
        datatype = tensors.DATATYPES[array.dtype.name]
        output = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        if request.raw:
            response.raw_output_contents.append(array.tobytes())
        else:
            getattr(output.contents, _CONTENTS[datatype]).extend(array.reshape(-1).tolist())
