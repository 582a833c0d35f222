"""V2 for bundles with inputs by name: several tensors, in JSON and after it, compared with a plain implementation."""

from __future__ import annotations

import json
import math
import struct
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from harmgauge.api.body import json_frame
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.steps import finish
from harmgauge.api.v2 import named_messages, tensors
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.errors import RequestError
from tests.fuzz.expected_named import NAMED, record_rows, row_of, same_rows
from tests.fuzz.mutate import NUMBERS, bytewise
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets import v2
from tests.fuzz.targets.records import seed_records

MAX_ROWS = 20

_bytewise = bytewise(
    [
        *NUMBERS, b"[", b"]", b"{", b"}", b",", b":", b'"', b'"inputs"', b'"data"', b'"shape"', b'"name"', b'"BYTES"',
        b'"INT64"', b'"FP32"', b'"binary_data_size":8', b'"data":[1,2],', b'"age"', b'"input_ids"', b"null", b'"x"',
        b"\x01\0\0\0", b"\xff\xff\xff\xff", b'"parameters":{"binary_data_size":0}', b'"data":[[1],[2]]', b'["a","b"]',
    ]
)  # fmt: skip


def _shape_fits(shape: Any, found: Input) -> bool:
    if (
        not isinstance(shape, list)
        or not all(type(size) is int for size in shape)
        or len(shape) != 1 + len(found.shape)
    ):
        return False
    most = found.maximum or 0
    pairs = zip(shape[1:], found.shape, strict=True)
    return 1 <= shape[0] <= MAX_ROWS and all(
        size == due if due is not None else 1 <= size <= most for size, due in pairs
    )


def strings_of(data: bytes, count: int) -> list[str] | None:
    """The strings of a BYTES tensor."""
    found = []
    while data:
        if len(data) < 4:
            return None
        (size,) = struct.unpack("<I", data[:4])
        if len(data) < 4 + size:
            return None
        try:
            found.append(data[4 : 4 + size].decode())
        except ValueError:
            return None
        data = data[4 + size :]
    return found if len(found) == count else None


def _nested(flat: list[Any], shape: list[int]) -> Any:
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape).tolist()


def _expected(body: bytes, header_length: str | None, inputs: NamedInputs) -> Any:
    found = v2.inputs_of(body, header_length)
    if found is None:
        return None
    arrays = _arrays(*found, inputs)
    if arrays is None or arrays.keys() != set(inputs.names) or len({len(array) for array in arrays.values()}) != 1:
        return None
    count = len(next(iter(arrays.values())))
    rows = [row_of({name: arrays[name][at] for name in arrays}, inputs) for at in range(count)]
    return None if None in rows else rows


def _arrays(tensors_: Any, binary: bytes, inputs: NamedInputs) -> dict[str, Any] | None:
    if not isinstance(tensors_, list) or not all(isinstance(tensor, dict) for tensor in tensors_):
        return None
    arrays: dict[str, Any] = {}
    for tensor in tensors_:
        name, parameters = tensor.get("name"), v2.parameters_of(tensor)
        found = inputs.by_name.get(name) if isinstance(name, str) else None
        if found is None or name in arrays or parameters is None or not _shape_fits(tensor.get("shape"), found):
            return None
        due = "BYTES" if found.dtype == "string" else tensors.DATATYPES[found.dtype]
        if tensor.get("datatype") != due or not parameters.keys() <= {"binary_data_size", "content_type"}:
            return None
        shape: list[int] = tensor["shape"]
        count = int(np.prod(shape))
        size, data = parameters.get("binary_data_size"), tensor.get("data")
        if (size is None) == (data is None):
            return None
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(binary):
                return None
            own, binary = binary[:size], binary[size:]
            flat: Any = strings_of(own, count) if due == "BYTES" else _numbers(own, count, found.dtype)
        else:
            flat = _flat(data, len(shape))
        if flat is None or len(flat) != count:
            return None
        arrays[name] = _nested(flat, shape)
    return None if binary else arrays


def _numbers(data: bytes, count: int, dtype: str) -> list[Any] | None:
    kind = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(data, kind).tolist() if len(data) == count * kind.itemsize else None


def _flat(data: Any, depth: int) -> list[Any] | None:
    """Values, flat or nested at most this deep, each level all lists or none."""
    if not isinstance(data, list):
        return None
    for _ in range(depth - 1):
        if not data or not all(isinstance(each, list) for each in data):
            break
        data = [value for each in data for value in each]
    return None if any(isinstance(value, list | dict | bool) for value in data) else data


def check(case: bytes) -> str:
    head, _, body = case.partition(b"\n")
    words = head.decode("latin-1").split(" ")
    inputs = NAMED.get(words[0], NAMED["table"])
    header_length = words[1] if len(words) > 1 else None
    expected = _expected(body, header_length, inputs)
    found = attempt(lambda: _read(body, header_length, inputs))
    with patch.object(json_frame, "MIN_LIST_BYTES", 0):
        cut = attempt(lambda: _read(body, header_length, inputs))
    if isinstance(found, RequestError):
        assert expected is None, f"refused ({found.detail}), but it is good"
        assert isinstance(cut, RequestError), "with its lists cut out, it is taken"
        return found.code
    assert expected is not None, "taken, but it is not good"
    assert same_rows(found.instances, expected, inputs), "the rows differ"
    if isinstance(cut, RequestError):
        assert "not a list of numbers" in cut.detail or "send it once" in cut.detail, cut.detail
        return "taken whole only"
    assert same_rows(cut.instances, expected, inputs), "the rows differ with lists cut out"
    return "taken"


def _read(body: bytes, header_length: str | None, inputs: NamedInputs) -> Any:
    return finish(named_messages.reading(body, header_length, NamedReader(inputs), v2.OFFERED, MAX_ROWS))


def _mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    head, _, body = case.partition(b"\n")
    name, *words = head.split(b" ")
    size = int(words[0]) if words and words[0].isdigit() and len(words[0]) < 9 else len(body)
    front, back = body[:size], body[size:]
    if not back or chance.random() < 0.7:
        front = _bytewise(front, other.partition(b"\n")[2], chance)
    else:
        back = _bytewise(back, b"", chance)
    if words:
        words = [b"%d" % len(front)]
    return b" ".join([name, *words]) + b"\n" + front + back


def seed_tensors(name: str) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Datatype, shape and flat values of each input, for one row, in the bundle's own dtypes."""
    inputs = NAMED[name]
    rows = record_rows([item for item in seed_records()[name] if isinstance(item, dict)][:1], inputs)
    assert rows is not None
    found = {}
    for each in inputs.inputs:
        array = np.array([rows[0][each.name]], object if each.dtype == "string" else each.dtype)
        datatype = "BYTES" if each.dtype == "string" else tensors.DATATYPES[each.dtype]
        found[each.name] = (datatype, list(array.shape), array.reshape(-1).tolist())
    return found


def packed(datatype: str, values: list[Any]) -> bytes:
    """The bytes of a tensor."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)
    dtype = next(dtype for dtype, known in tensors.DATATYPES.items() if known == datatype)
    return np.array(values, np.dtype(dtype).newbyteorder("<")).tobytes()


def _null_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _seeds() -> list[bytes]:
    made = []
    for name in NAMED:
        described = seed_tensors(name)
        inputs: list[dict[str, Any]] = [
            {"name": key, "datatype": datatype, "shape": shape, "data": list(map(_null_for_nan, values))}
            for key, (datatype, shape, values) in described.items()
        ]
        made.append(name.encode() + b"\n" + json.dumps({"id": "7", "inputs": inputs}).encode())
        binary = b"".join(packed(datatype, values) for datatype, _, values in described.values())
        for tensor, (datatype, _, values) in zip(inputs, described.values(), strict=True):
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(packed(datatype, values))}
        head = json.dumps({"inputs": inputs}).encode()
        made.append(b"%b %d\n%b%b" % (name.encode(), len(head), head, binary))
    return made


TARGET = Target("v2_named", check, _seeds(), _mutate)
