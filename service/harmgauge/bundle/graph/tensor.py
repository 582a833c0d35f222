"""One stored tensor: with at most as many elements as its bytes hold, none of them in another file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.graph import schema as onnx
from harmgauge.bundle.graph.refused import GraphRefused, shown
from harmgauge.bundle.graph.value import MAX_AXES, SMALL_ELEMENTS, Value
from harmgauge.bundle.graph.values import CASTS
from harmgauge.bundle.graph.wire import Malformed, Reader

_MAX_DIM_PRODUCT = 2**48
"""More than any file can hold, and far below the point at which products overflow 64 bits."""

TEXT_BYTES = 32
"""Overhead of a string besides its bytes."""

_FIELDS = {
    onnx.FLOAT: "float_data",
    onnx.DOUBLE: "double_data",
    onnx.INT64: "int64_data",
    onnx.UINT32: "uint64_data",
    onnx.UINT64: "uint64_data",
}
"""By data type; all other numbers are in `int32_data`."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name and contents of a tensor. `data_type` is ONNX's code."""

    name: bytes
    data_type: int
    dims: tuple[int, ...]
    value: Value


def read_tensor(reader: Reader, data: memoryview) -> Tensor:
    """Check a TensorProto; raises GraphRefused or Malformed."""
    name, data_type, raw = b"", 0, None
    dims, stored = list[int](), _Stored(reader)
    for field, number, content in reader.fields(data, onnx.TENSOR, "a tensor"):
        match field:
            case "external_data" | "data_location" if number:  # it is -1 for fields with bytes
                raise _external(name)
            case "segment":
                raise Malformed("a tensor is a segment of another")
            case "name":
                name = bytes(content)
            case "data_type":
                data_type = number
            case "dims":
                dims += islice(reader.integers(number, content), MAX_AXES + 1)
                if len(dims) > MAX_AXES:
                    raise GraphRefused(f"tensor {shown(name)} has more than {MAX_AXES} axes: export it again")
            case "raw_data":
                raw = content
            case "metadata_props":
                reader.skim(content, onnx.ENTRY, "an entry")
            case _ if field.endswith("_data"):
                stored.add(field, number, content)
    elements = _elements(dims, name)
    _check_size(name, data_type, elements, stored.size_bytes, raw)
    bits = onnx.ELEMENT_BITS.get(data_type)
    item_bytes = TEXT_BYTES + stored.longest_text if bits is None else -(-bits // 8)
    numbers = None
    if elements <= SMALL_ELEMENTS:
        found = _numbers(data_type, raw, stored)
        if found is not None and found.size >= elements:
            numbers = found[:elements].reshape(dims)
    return Tensor(name, data_type, tuple(dims), Value(tuple(dims), item_bytes, numbers))


class _Stored:
    """Contents of the typed fields (`float_data` and so on): their size in bytes, and the numbers if there are few."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.size_bytes = 0
        self.longest_text = 0
        self.integers = {"int32_data": list[int](), "int64_data": list[int](), "uint64_data": list[int]()}
        self.floats = {"float_data": bytearray(), "double_data": bytearray()}

    def add(self, field: str, number: int, content: memoryview) -> None:
        # An empty string is an element too, and a number that is not packed comes without bytes.
        self.size_bytes += len(content) + (field == "string_data" or number >= 0)
        if field == "string_data":
            self.longest_text = max(self.longest_text, len(content))
        elif field in self.integers:
            # One more than allowed is enough to detect that there are too many.
            wanted = SMALL_ELEMENTS + 1 - len(self.integers[field])
            self.integers[field] += islice(self._reader.integers(number, content), wanted) if wanted > 0 else ()
        else:
            found = self.floats[field]
            found += content[: (SMALL_ELEMENTS + 1) * 8 - len(found)]


def _elements(dims: list[int], name: bytes) -> int:
    if any(dim < 0 for dim in dims) or math.prod(max(dim, 1) for dim in dims) > _MAX_DIM_PRODUCT:
        raise GraphRefused(f"tensor {shown(name)} has the shape {dims}, which no tensor can have: export it again")
    return math.prod(dims)


def _check_size(name: bytes, data_type: int, elements: int, stored_bytes: int, raw: memoryview | None) -> None:
    bits = onnx.ELEMENT_BITS.get(data_type)
    if bits is None and data_type != onnx.TEXT:
        raise GraphRefused(f"tensor {shown(name)} has the unknown data type {data_type}")
    if raw is not None and bits is not None:
        expected_bytes = -(-elements * bits // 8)
        fits, stored_bytes = len(raw) == expected_bytes, len(raw)
    else:
        # In a typed field an element takes at least one byte; several narrower ones may share a byte.
        fits = elements <= stored_bytes * max(1, 8 // (bits or 8))
    if not fits:
        raise GraphRefused(
            f"tensor {shown(name)} claims {elements} elements, which do not match its {stored_bytes} bytes: export it "
            "again"
        )


def _numbers(data_type: int, raw: memoryview | None, stored: _Stored) -> npt.NDArray[Any] | None:
    """The numbers; None if their type is never used for shapes (float8, complex) or the contents do not match the
    header.
    """
    kind = CASTS.get(data_type)
    halves = data_type in (onnx.INT4, onnx.UINT4)
    if kind is None and not halves:
        return None
    # bfloat16 is the upper half of float32.
    kind = "u1" if halves else "u2" if data_type == onnx.BFLOAT16 else kind
    if raw is not None:
        found = np.frombuffer(raw, np.dtype(kind).newbyteorder("<"))
    elif data_type in (onnx.FLOAT, onnx.DOUBLE):
        found = np.frombuffer(bytes(stored.floats[_FIELDS[data_type]]), np.dtype(kind).newbyteorder("<"))
    else:
        words = np.array(stored.integers[_FIELDS.get(data_type, "int32_data")], np.int64)
        found = words.astype("u2").view("f2") if data_type == onnx.FLOAT16 else words.astype(kind)
    if data_type == onnx.BFLOAT16:
        return (found.astype("<u4") << 16).view("<f4")
    if halves:
        found = np.stack([found & 15, found >> 4], -1).reshape(-1).astype("i1")
        return np.where(found > 7, found - 16, found) if data_type == onnx.INT4 else found
    return found


def _external(name: bytes) -> GraphRefused:
    return GraphRefused(
        f"tensor {shown(name)} is stored in another file, which no sha256 covers: put everything into one file with "
        "onnx.save_model(onnx.load(FILE), OUT, save_as_external_data=False)"
    )
