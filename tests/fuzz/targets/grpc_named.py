"""gRPC messages for bundles with inputs by name, in `contents` and `raw_input_contents`, compared with V2's bytes."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.message import DecodeError

from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.steps import finish
from harmgauge.api.grpc import messages, wire
from harmgauge.api.grpc.protocol import methods
from harmgauge.errors import RequestError
from tests.fuzz.expected_named import NAMED
from tests.fuzz.mutate import below_head, bytewise
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets.v2 import OFFERED
from tests.fuzz.targets.v2_named import MAX_ROWS, packed, seed_tensors, strings_of

_REQUEST = methods()["ModelInfer"][0]
_FIELDS = {
    "INT64": "int64_contents", "INT32": "int_contents", "UINT8": "uint_contents", "FP32": "fp32_contents",
    "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip

_bytewise = bytewise(
    [b"\x0a\0", b"\x2a\0", b"\x3a\0", b"\xff" * 9 + b"\1", b"\x2a\x02\x0a\0", b"\x80", b"age", b"BYTES", b"\x01\0\0\0"]
)


def check(case: bytes) -> str:
    head, _, body = case.partition(b"\n")
    inputs = NAMED.get(head.decode("latin-1"), NAMED["table"])
    found = attempt(lambda: _read(body, head))
    if isinstance(found, RequestError):
        return found.code
    rows = found.instances
    inputs.check(rows)
    message = _REQUEST.FromString(body)
    for at, tensor in enumerate(message.inputs):
        sent = strings_of(message.raw_input_contents[at], 1) if message.raw_input_contents else None
        if tensor.datatype == "BYTES" and len(rows) == 1 and tuple(tensor.shape) == (1, 1):
            own = sent if sent is not None else [text.decode() for text in tensor.contents.bytes_contents]
            assert rows.fixed[tensor.name].reshape(-1).tolist() == own, "the strings differ"
    return "taken"


def _read(body: bytes, name: bytes) -> Any:
    inputs = NAMED.get(name.decode("latin-1"), NAMED["table"])
    parts = wire.split(body)
    message = messages.envelope(parts)
    return finish(messages.reading_named(message, parts, NamedReader(inputs), OFFERED, MAX_ROWS))


def _mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Mostly mutates fields, sometimes bytes."""
    try:
        message = _REQUEST.FromString(case)
    except DecodeError:
        message = None
    if message is None or not message.inputs or chance.random() < 0.4:
        return _bytewise(case, other, chance)
    tensor = chance.choice(message.inputs)
    match chance.randrange(6):
        case 0:
            tensor.name = chance.choice(("age", "race", "input_ids", "x", ""))
        case 1:
            tensor.shape[:] = [chance.choice((0, 1, 2, -1, 2**62)) for _ in range(chance.randrange(4))]
        case 2:
            tensor.contents.bytes_contents.append(chance.choice((b"", b"a", b"\xff", "\u00e9".encode())))
        case 3:
            tensor.contents.int64_contents.append(chance.choice((0, 1, -1, 2**62)))
        case 4 if message.raw_input_contents:
            at = chance.randrange(len(message.raw_input_contents))
            message.raw_input_contents[at] = _bytewise(message.raw_input_contents[at], b"", chance)
        case _:
            message.inputs.add().CopyFrom(tensor)
    return bytes(message.SerializeToString())


def _seeds() -> list[bytes]:
    made = []
    for name in NAMED:
        described = seed_tensors(name)
        raw, typed = _REQUEST(), _REQUEST()
        for key, (datatype, shape, values) in described.items():
            raw.inputs.add(name=key, datatype=datatype, shape=shape)
            raw.raw_input_contents.append(packed(datatype, values))
            tensor = typed.inputs.add(name=key, datatype=datatype, shape=shape)
            if datatype in _FIELDS:
                own = [value.encode() for value in values] if datatype == "BYTES" else values
                getattr(tensor.contents, _FIELDS[datatype]).extend(own)
        made += [name.encode() + b"\n" + bytes(message.SerializeToString()) for message in (raw, typed)]
    return made


TARGET = Target("grpc_named", check, _seeds(), below_head(_mutate))
