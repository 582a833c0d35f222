"""Messages of the gRPC protocol, `contents` and `raw_input_contents`, compared with protobuf's own reading."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.message import DecodeError

from harmgauge.api.grpc import messages, wire
from harmgauge.api.grpc.protocol import methods
from harmgauge.api.v2 import tensors
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError, Unreadable
from tests.fuzz.expected import rows_of_flat
from tests.fuzz.mutate import bytewise
from tests.fuzz.target import SPECS, Target, attempt, check_rows, seed_rows, split
from tests.fuzz.targets import raw
from tests.fuzz.targets.v2 import OFFERED, SHARED_MEMORY, good_timeout

_REQUEST = methods()["ModelInfer"][0]

_FIELDS = {
    "INT16": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
_ALL_FIELDS = [*sorted(set(_FIELDS.values())), "bool_contents", "uint64_contents"]
_WORDS = [
    "",
    "input",
    "score",
    "probabilities",
    "UINT8",
    "FP32",
    "FP16",
    "BYTES",
    "INT64",
    "x" * 5000,
    "\0",
    "\U0001f600",
]
_SIZES = [0, 1, 2, -1, 4, 5, 3, 2**31, 2**62, 2**63 - 1, -(2**63)]
_VALUES = [0, 1, -1, 255, 256, 2**31 - 1, 2**32 - 1, 0.5, float("nan"), float("inf"), 1e300, -1e4]
_PARAMETER_VALUES: list[tuple[str, Any]] = [
    ("", None), ("bool_param", True), ("bool_param", False), ("int64_param", -1), ("int64_param", 0),
    ("int64_param", 1000), ("uint64_param", 2**64 - 1), ("double_param", 5.0), ("string_param", "20"),
    ("string_param", "np"), ("string_param", ""),
]  # fmt: skip
_bytewise = bytewise(
    [b"\x0a\0", b"\x2a\0", b"\x3a\0", b"\xff" * 9 + b"\1", b"\x0b" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"\x80"]
)


def _expected(message: Any, spec: InputSpec) -> Any:
    names = [output.name for output in message.outputs]
    if len(message.inputs) != 1 or len(set(names)) < len(names) or not set(names) <= {known.name for known in OFFERED}:
        return None
    tensor, datatype = message.inputs[0], tensors.DATATYPES[spec.dtype]
    shape = list(tensor.shape)
    if tensor.name != "input" or tensor.datatype != datatype or shape[1:] != list(spec.shape) or shape[0] < 1:
        return None
    if not _good_parameters(message):
        return None
    if message.raw_input_contents:
        if len(message.raw_input_contents) != 1 or tensor.HasField("contents"):
            return None
        data = message.raw_input_contents[0]
        return raw.expected(data, spec) if len(data) == shape[0] * spec.row_bytes else None
    fields = [field for field in [*_ALL_FIELDS, "bytes_contents"] if len(getattr(tensor.contents, field))]
    if fields != [_FIELDS.get(datatype)]:
        return None
    return rows_of_flat(list(getattr(tensor.contents, fields[0])), shape[0], spec)


def _good_parameters(message: Any) -> bool:
    of_request = _parameters(message)
    if of_request.keys() & {"binary_data", "classification", *SHARED_MEMORY}:
        return False
    if not good_timeout(of_request.get("timeout", 0)):
        return False
    if not _parameters(message.inputs[0]).keys() <= {"binary_data_size", "content_type"}:
        return False
    asked = [_parameters(output) for output in message.outputs]
    return all(
        more.keys() <= {"binary_data", "content_type"} and more.get("content_type", "np") == "np" for more in asked
    )


def _parameters(holder: Any) -> dict[str, Any]:
    """The parameters that have a value."""
    fields = {name: value.ListFields() for name, value in holder.parameters.items()}
    return {name: found[0][1] for name, found in fields.items() if found}


def check(case: bytes) -> str:
    spec, _, body = split(case)
    found = attempt(lambda: _read(body, spec))
    try:
        message = _REQUEST.FromString(body)
    except DecodeError:
        assert isinstance(found, RequestError), "taken, but it is no message"
        return "no message"
    if isinstance(found, Unreadable):
        assert found.detail.startswith("The message has "), f"refused ({found.detail}), but protobuf can read it"
        return "out of bounds"
    rows = found if isinstance(found, RequestError) else found.instances
    return check_rows(rows, _expected(message, spec), spec)


def _read(body: bytes, spec: InputSpec) -> messages.InferRequest[Rows]:
    parts = wire.split(body)
    return messages.parse(messages.envelope(parts), parts, spec, OFFERED)


def _mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Mostly mutates fields, sometimes bytes."""
    head, _, body = case.partition(b"\n")
    try:
        message = _REQUEST.FromString(body)
    except DecodeError:
        message = None
    if message is None or chance.random() < 0.25:
        return head + b"\n" + _bytewise(body, other.partition(b"\n")[2], chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change(message, chance)
    return head + b"\n" + bytes(message.SerializeToString())


def _change(message: Any, chance: Random) -> None:
    tensor = message.inputs[0] if message.inputs else message.inputs.add()
    match chance.randrange(11):
        case 0:
            setattr(tensor, chance.choice(("name", "datatype")), chance.choice(_WORDS))
        case 1 if tensor.shape:
            tensor.shape[chance.randrange(len(tensor.shape))] = chance.choice(_SIZES)
        case 2:
            tensor.shape.append(chance.choice(_SIZES))
        case 3 | 4:
            _numbers(tensor, chance)
        case 5:
            message.raw_input_contents.append(bytes(chance.choice((0, 1, 60, 120, 1000))))
        case 6 if message.raw_input_contents:
            message.raw_input_contents[0] = _bytewise(message.raw_input_contents[0], b"", chance)
        case 7:
            _parameter(message, chance)
        case 8:
            _parameter(tensor if chance.random() < 0.5 or not message.outputs else message.outputs[0], chance)
        case 9:
            message.outputs.add(name=chance.choice(_WORDS))
        case _:
            message.inputs.add() if chance.random() < 0.5 else tensor.ClearField("contents")


def _parameter(holder: Any, chance: Random) -> None:
    field, value = chance.choice(_PARAMETER_VALUES)
    name = chance.choice(("timeout", "binary_data", "binary_data_size", "content_type", "classification", "x"))
    parameter = holder.parameters[name]
    if field:
        setattr(parameter, field, value)


def _numbers(tensor: Any, chance: Random) -> None:
    given = [field for field, _ in tensor.contents.ListFields()]
    name = given[0].name if given and chance.random() < 0.8 else chance.choice(_ALL_FIELDS)
    field = getattr(tensor.contents, name)
    value = chance.choice(_VALUES)
    if name not in ("fp32_contents", "fp64_contents"):
        value = int(value) if abs(value) < 2**32 else 1
        value = bool(value) if name == "bool_contents" else value if "uint" not in name else abs(value)
        value = min(value, 2**31 - 1) if name == "int_contents" else value
    if name == "fp32_contents" and abs(value) > 3e38:
        value = float("inf")
    if name == "bytes_contents":
        return
    if len(field) and chance.random() < 0.7:
        field[chance.randrange(len(field))] = value
    else:
        field.extend([value] * chance.choice((1, 2, 60)))


def _seeds() -> list[bytes]:
    made = []
    for name, spec in SPECS.items():
        x = seed_rows(2, spec)
        datatype = tensors.DATATYPES[spec.dtype]
        for binary in (False, True):
            message = _REQUEST(model_name="toy", id="7")
            tensor = message.inputs.add(name="input", datatype=datatype, shape=x.shape)
            if binary:
                message.raw_input_contents.append(x.tobytes())
            elif datatype in _FIELDS:
                getattr(tensor.contents, _FIELDS[datatype]).extend(x.reshape(-1).tolist())
            message.outputs.add(name="score")
            made.append(name.encode() + b"\n" + message.SerializeToString())
    return made


TARGET = Target("grpc", check, _seeds(), _mutate)
