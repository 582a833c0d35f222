"""Tensors of a request to a bundle with inputs by name: several, of strings, with a free axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from harmgauge.api.body.named.arrays import rows_of_arrays
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.named.values import too_long
from harmgauge.api.body.steps import Steps, one_step
from harmgauge.api.said import quoted, said, sizes
from harmgauge.api.v2.tensors import BYTES, DATATYPES
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import TEXT, fits_shape
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.bundle.rows import Array
from harmgauge.bundle.values import MAX_STRING_CHARACTERS
from harmgauge.errors import TooLarge, Unprocessable

_TEXT_INPUT = Input(name=TEXT, dtype="string", shape=())

_BYTES_OF_LENGTH = 4


class TensorSpec(NamedTuple):
    """An input tensor of a request: the bundle's input that it is for, and its shape, which is allowed."""

    input: Input
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def check_tensor(name: object, datatype: object, shape: object, reader: NamedReader, max_rows: int) -> TensorSpec:
    """Raises Unprocessable if the bundle has no such input, TooLarge beyond `max_rows`."""
    found = reader.plan.inputs.by_name.get(name) if isinstance(name, str) else None
    if found is None and name == TEXT and reader.texts is not None:
        found = _TEXT_INPUT
    if found is None:
        names = ", ".join(map(quoted, [*reader.plan.inputs.names, *([TEXT] if reader.texts else [])][:5]))
        raise Unprocessable(f"Unknown input {quoted(name)}; known: {names}.")
    due = BYTES if found.is_text else DATATYPES[found.dtype]
    if datatype != due:
        raise Unprocessable(f"The datatype of the input {quoted(name)} is {quoted(datatype)}; expected {due}.")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise Unprocessable(f"The shape of the input {quoted(name)} must be a list of whole numbers.")
    asked = tuple(shape)
    if found is _TEXT_INPUT and asked[1:] == (1,):
        asked = asked[:1]
    most = found.maximum or 0
    if not fits_shape(asked, found.shape) or any(
        size is None and asked[1 + at] > most for at, size in enumerate(found.shape)
    ):
        free = f"1 to {most}"
        expected = ", ".join(["n", *(free if size is None else str(size) for size in found.shape)])
        raise Unprocessable(f"The input {quoted(name)} has shape {sizes(shape)}; expected [{expected}], n >= 1.")
    if asked[0] > max_rows:
        raise TooLarge(f"The request has {asked[0]} instances; expected at most {max_rows}: split it.")
    return TensorSpec(found, asked)


def from_bytes(data: memoryview, spec: TensorSpec) -> Array:
    """The tensor's little-endian bytes, or its strings, each after its length. Raises Unprocessable."""
    name = spec.input.name
    if not spec.input.is_text:
        dtype = np.dtype(spec.input.dtype).newbyteorder("<")
        if len(data) != spec.size * dtype.itemsize:
            raise Unprocessable(
                f"The shape {sizes(spec.shape)} of the input {quoted(name)} needs {spec.size * dtype.itemsize} bytes; "
                f"got {len(data)}."
            )
        return np.frombuffer(data, dtype).reshape(spec.shape)
    if len(data) < spec.size * _BYTES_OF_LENGTH:
        raise _wrong_strings(name, spec)
    strings: list[bytes] = []
    at = 0
    while at < len(data) and len(strings) < spec.size:
        begin = at + _BYTES_OF_LENGTH
        at = begin + int.from_bytes(data[at:begin], "little")
        if at > len(data):
            raise _wrong_strings(name, spec)
        strings.append(bytes(data[begin:at]))
    if at != len(data) or len(strings) != spec.size:
        raise _wrong_strings(name, spec)
    return from_strings(strings, spec)


def from_strings(strings: Sequence[bytes | memoryview], spec: TensorSpec) -> Array:
    """Strings in UTF-8. Raises Unprocessable."""
    if len(strings) != spec.size:
        raise _wrong_strings(spec.input.name, spec)
    array = np.empty(len(strings), object)
    for at, text in enumerate(strings):
        try:
            array[at] = str(text, "utf-8")
        except UnicodeDecodeError:
            raise Unprocessable(f"The input {quoted(spec.input.name)}: string {at} is not UTF-8.") from None
    return array.reshape(spec.shape)


def from_data(data: object, spec: TensorSpec) -> Array:
    """The tensor's values in JSON, flat or nested as its shape. Raises Unprocessable."""
    name = spec.input.name
    if not isinstance(data, list):
        raise Unprocessable(f"The data of the input {quoted(name)}: expected a list, got {said(data)}.")
    flat: list[Any] = data
    for _ in spec.shape[1:]:
        if set(map(type, flat)) != {list}:
            break
        flat = list(chain.from_iterable(flat))
    allowed: set[type] = {str} if spec.input.is_text else {int, float}
    allowed |= {type(None)} if spec.input.missing else set()
    if not set(map(type, flat)) <= allowed:
        at = next(at for at, value in enumerate(flat) if type(value) not in allowed)
        due = "a string" if spec.input.is_text else "a number"
        raise Unprocessable(f"The data of the input {quoted(name)}: expected {due}, got {said(flat[at])}, value {at}.")
    if len(flat) != spec.size:
        raise Unprocessable(
            f"The data of the input {quoted(name)} has {len(flat)} values; its shape {sizes(spec.shape)} needs "
            f"{spec.size}."
        )
    if spec.input.is_text:
        array = np.empty(len(flat), object)
        array[:] = flat
    elif np.dtype(spec.input.dtype).kind == "f":
        array = np.array(flat, np.float64)
    else:
        array = np.array(flat)
        array = np.array(flat, np.float64) if array.dtype.kind == "O" else array
    return array.reshape(spec.shape)


def rows_of(arrays: Mapping[str, Array], reader: NamedReader, max_rows: int) -> Steps[NamedRows]:
    """Rows of a request's tensors, in steps. Raises Unprocessable."""
    if TEXT in arrays and reader.texts is not None:
        if len(arrays) > 1:
            raise Unprocessable(f"Send the input {TEXT!r} alone: the bundle's tokenizer makes the others from it.")
        texts: list[str] = arrays[TEXT].tolist()
        for row, text in enumerate(texts):
            if len(text) > MAX_STRING_CHARACTERS:
                raise Unprocessable(f"instances[{row}]: {too_long(text)}")
        return (yield from reader.texts.read(texts))
    return (yield from reader.counted(one_step(rows_of_arrays, arrays, reader.plan, max_rows)))


def _wrong_strings(name: str, spec: TensorSpec) -> Unprocessable:
    return Unprocessable(
        f"The input {quoted(name)}: expected {spec.size} strings for its shape {sizes(spec.shape)}, each as its length "
        "in 4 bytes, little-endian, and UTF-8."
    )
