"""One stored tensor: no more elements than its bytes hold, and none of them in another file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice

import numpy as np

from harmgauge.bundle.graph import schema as onnx
from harmgauge.bundle.graph.refused import GraphRefused
from harmgauge.bundle.graph.wire import Reader

MAX_AXES = 16
_MAX_DIM_PRODUCT = 2**48
"""Beyond what any file can hold, and far below where products overflow in 64 bits."""

SMALL_ELEMENTS = 64
"""No shape has more."""

TOO_MANY = (2**63,)
"""Stands for the values of a tensor that has more: as a shape it is refused."""

_NUMPY = {onnx.FLOAT: "<f4", onnx.INT32: "<i4", onnx.INT64: "<i8"}


@dataclass(frozen=True)
class Tensor:
    """`values` are its numbers, rounded up, or `TOO_MANY`; None where its data type is none of a shape or a scale."""

    name: bytes
    values: tuple[int, ...] | None


def read_tensor(reader: Reader, data: memoryview) -> Tensor:
    """Check a TensorProto; raises GraphRefused and Malformed."""
    name, data_type, raw = b"", 0, None
    dims, stored = list[int](), _Stored(reader)
    for field, number, content in reader.fields(data, onnx.TENSOR, "a tensor"):
        match field:
            case "external_data":
                raise _external(name)
            case "data_location" if number:
                raise _external(name)
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
            case _ if field.endswith("_data"):
                stored.add(field, number, content)
    elements = _elements(dims, name)
    _check_size(name, data_type, elements, stored.size_bytes, raw)
    return Tensor(name, _values(data_type, elements, raw, stored))


class _Stored:
    """What the typed fields (`float_data` and so on) hold: so many bytes, and the numbers where they are few."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.size_bytes = 0
        self.integers: list[int] = []
        self.floats = bytearray()

    def add(self, field: str, number: int, content: memoryview) -> None:
        # An empty text is an element too, and a number that is not packed comes without bytes.
        self.size_bytes += len(content) + (field == "string_data" or number >= 0)
        if field in ("int32_data", "int64_data") and len(self.integers) < SMALL_ELEMENTS:
            self.integers += islice(self._reader.integers(number, content), SMALL_ELEMENTS)
        elif field == "float_data" and len(self.floats) < SMALL_ELEMENTS * 4:
            self.floats += content[: SMALL_ELEMENTS * 4]


def _elements(dims: list[int], name: bytes) -> int:
    if any(dim < 0 for dim in dims) or math.prod(max(dim, 1) for dim in dims) > _MAX_DIM_PRODUCT:
        raise GraphRefused(f"tensor {shown(name)} has the shape {dims}, which no tensor can have: export it again")
    return math.prod(dims)


def _check_size(name: bytes, data_type: int, elements: int, stored_bytes: int, raw: memoryview | None) -> None:
    bits = onnx.ELEMENT_BITS.get(data_type)
    if bits is None and data_type != onnx.TEXT:
        raise GraphRefused(f"tensor {shown(name)} has the data type {data_type}, which is unknown here")
    if raw is not None and bits is not None:
        due_bytes = -(-elements * bits // 8)
        fits, stored_bytes = len(raw) == due_bytes, len(raw)
    else:
        # In a typed field an element takes a byte at least; of those narrower than one several may share it.
        fits = elements <= stored_bytes * max(1, 8 // (bits or 8))
    if not fits:
        raise GraphRefused(
            f"tensor {shown(name)} says that it has {elements} elements, which its {stored_bytes} bytes are not: "
            "export it again"
        )


def _values(data_type: int, elements: int, raw: memoryview | None, stored: _Stored) -> tuple[int, ...] | None:
    kind = _NUMPY.get(data_type)
    if kind is None:
        return None
    if elements > SMALL_ELEMENTS:
        return TOO_MANY
    if raw is not None:
        found = np.frombuffer(raw, kind)
    elif data_type == onnx.FLOAT:
        found = np.frombuffer(stored.floats, kind, len(stored.floats) // 4)
    else:
        found = np.array(stored.integers)
    return tuple(int(value) for value in np.ceil(np.nan_to_num(found.astype(np.float64))))


def _external(name: bytes) -> GraphRefused:
    return GraphRefused(
        f"tensor {shown(name)} lies in another file, where no sha256 covers it: "
        "onnx.save_model(onnx.load(FILE), OUT, save_as_external_data=False) puts all into one"
    )


def shown(name: bytes) -> str:
    """A name out of the file, fit for a message."""
    return repr(name[:80].decode(errors="replace"))
