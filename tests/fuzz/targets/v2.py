"""Open Inference Protocol, V2: JSON and binary tensors, compared with a plain implementation of the protocol."""

from __future__ import annotations

import json
from random import Random
from typing import Any
from unittest.mock import patch

from harmgauge.api.v2 import messages, tensors
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError
from tests.fuzz.expected import rows_of, rows_of_flat
from tests.fuzz.mutate import NUMBERS, bytewise
from tests.fuzz.target import SPECS, Target, attempt, check_rows, split
from tests.fuzz.targets import raw
from tests.fuzz.targets.json import loads, with_gaps
from tests.support.toy import instances

OFFERED = tensors.outputs(3, corrects=False)

SHARED_MEMORY = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")

_TOKENS = [
    *NUMBERS, b"[", b"]", b"[]", b"{", b"}", b"{}", b",", b":", b'"', b'"inputs":[]', b'"inputs"', b'"outputs"',
    b'"id":1', b'"id":"a",', b'"data"', b',"data":[1]', b'"shape"', b'"shape":[],', b'"name"', b'"name":"score"',
    b'"parameters"', b'"parameters":{"binary_data_size":60}', b',"parameters":{"binary_data_output":true}',
    b'"datatype"', b'"FP32"', b'"UINT8"', b'"BOOL"', b"true", b"false", b"null", b"[4611686018427387904,4,5,3]",
    b"[-1,4,5,3]", b"[true,4,5,3]", b"[1.0,4,5,3]", b'{"name":"score"}',
    b'{"name":"score","parameters":{"binary_data":true}}', b'"\\ud800"', b'"outputs":[],', b'"outputs":null,',
    b'"parameters":null,', b'"id":null,', b'"timeout"', b'"parameters":{"timeout":1000},', b'"timeout":"20",',
    b'"parameters":{"timeout":-1},', b'"content_type":"np"', b'"parameters":{"classification":2}', b'"binary_data"',
    b'"shared_memory_region":"r"', b'"sequence_id":7', b'"data":null,', b'{"name":"score","parameters":null}',
]  # fmt: skip
_bytewise = bytewise(_TOKENS)


def inputs_of(body: bytes, header_length: str | None) -> tuple[Any, bytes] | None:
    """The `inputs` of a document that is good apart from them, and the binary data behind it; None for any other."""
    size = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit()) or len(header_length) > 18:
            return None
        size = int(header_length)
    try:
        document = loads(body[:size])
    except ValueError:
        return None
    if size > len(body) or not isinstance(document, dict) or not isinstance(document.get("id"), str | None):
        return None
    if not good_outputs(document) or not good_parameters(document):
        return None
    return document.get("inputs"), body[size:]


def _expected(body: bytes, header_length: str | None, spec: InputSpec) -> Any:
    found = inputs_of(body, header_length)
    if found is None:
        return None
    inputs, binary = found
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        return None
    return _rows(inputs[0], binary, spec)


def _rows(tensor: dict[str, Any], binary: bytes, spec: InputSpec) -> Any:
    shape, parameters = tensor.get("shape"), parameters_of(tensor)
    if tensor.get("name") != "input" or tensor.get("datatype") != tensors.DATATYPES[spec.dtype]:
        return None
    if not isinstance(shape, list) or not all(type(size) is int for size in shape) or parameters is None:
        return None
    if not parameters.keys() <= {"binary_data_size", "content_type"}:
        return None
    if shape[1:] != list(spec.shape) or shape[0] < 1:
        return None
    size = parameters.get("binary_data_size")
    if size is not None:
        fits = type(size) is int and size == len(binary) == shape[0] * spec.row_bytes
        return raw.expected(binary, spec) if fits and tensor.get("data") is None else None
    data = tensor.get("data")
    if binary or not isinstance(data, list) or not data:
        return None
    if isinstance(data[0], list):
        return rows_of(data, spec) if len(data) == shape[0] else None
    is_flat = all(type(number) in (int, float, type(None)) for number in data)
    return rows_of_flat(data, shape[0], spec) if is_flat else None


def parameters_of(holder: dict[str, Any]) -> dict[str, Any] | None:
    """The parameters that are not null; None if they are not an object."""
    found = holder.get("parameters")
    if not isinstance(found, dict | None):
        return None
    return {name: value for name, value in (found or {}).items() if value is not None}


def good_parameters(document: dict[str, Any]) -> bool:
    """Whether the parameters of the request itself are valid."""
    parameters = parameters_of(document)
    if parameters is None or not isinstance(parameters.get("binary_data_output", False), bool):
        return False
    if parameters.keys() & {"binary_data", "classification", *SHARED_MEMORY}:
        return False
    return good_timeout(parameters.get("timeout", 0))


def good_timeout(value: object) -> bool:
    """Whether the value is a number of microseconds: a whole number, or digits."""
    if isinstance(value, str):
        return 0 < len(value) <= 20 and value.isascii() and value.isdigit()
    return type(value) is int and value >= 0


def good_outputs(document: dict[str, Any]) -> bool:
    wanted = [] if document.get("outputs") is None else document["outputs"]
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        return False
    names = [output.get("name") for output in wanted]
    known = [output.name for output in OFFERED]
    if not all(name in known for name in names) or any(names.count(name) > 1 for name in names):
        return False
    return all(_good_output(parameters_of(output)) for output in wanted)


def _good_output(parameters: dict[str, Any] | None) -> bool:
    if parameters is None or not parameters.keys() <= {"binary_data", "content_type"}:
        return False
    return isinstance(parameters.get("binary_data", False), bool) and parameters.get("content_type", "np") == "np"


@patch.object(messages, "LEAST_BYTES", 0)
def check(case: bytes) -> str:
    spec, words, body = split(case)
    header_length = words[0] if words else None
    found = attempt(lambda: messages.parse(body, header_length, spec, OFFERED))
    if isinstance(found, RequestError):
        return check_rows(found, _expected(body, header_length, spec), spec)
    assert {name for name, _ in found.outputs} <= {output.name for output in OFFERED}
    return check_rows(found.instances, _expected(body, header_length, spec), spec)


def _mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Mutates the JSON part, the binary part, or the stated lengths."""
    head, _, body = case.partition(b"\n")
    spec, *words = head.split(b" ")
    size = int(words[0]) if words and words[0].isdigit() and len(words[0]) < 9 else len(body)
    front, back = body[:size], body[size:]
    if chance.random() < 0.8:
        front = _bytewise(front, other.partition(b"\n")[2], chance)
    elif words:
        back = _bytewise(back, b"", chance)
    if words or chance.random() < 0.05:
        words = [b"%d" % len(front)]
        if chance.random() < 0.1:
            words = [
                chance.choice((b"", b"0", b"-1", b"1e3", b"+5", b"9" * 5000, b"%d" % (len(front) + 1), b"\xb2", b"1_0"))
            ]
    return b" ".join([spec, *words]) + b"\n" + front + back


def _seeds() -> list[bytes]:
    made = []
    for name, spec in SPECS.items():
        x = (instances(2, spec.shape) % 2).astype(spec.numpy_dtype)
        described = {"name": "input", "datatype": tensors.DATATYPES[spec.dtype], "shape": list(x.shape)}
        nested = [x.reshape(-1).tolist(), x.tolist()]
        if spec.missing:
            nested += [with_gaps(x.reshape(-1) - 1), with_gaps(x - 1)]
        for data in nested:
            document = {"id": "7", "inputs": [{**described, "data": data}], "outputs": [{"name": "score"}]}
            made.append(name.encode() + b"\n" + json.dumps(document).encode())
        parameters = {"binary_data_size": x.nbytes}
        binary = json.dumps({"inputs": [{**described, "parameters": parameters}], "parameters": {}}).encode()
        made += [name.encode() + b" %d\n" % len(binary) + binary + x.tobytes()] * 2
    return made


TARGET = Target("v2", check, _seeds(), _mutate)
