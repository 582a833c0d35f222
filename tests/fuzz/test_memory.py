"""The memory for reading a body at the size limit is a bounded multiple of its size, whatever it contains."""

from __future__ import annotations

import json
import multiprocessing
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from harmgauge.api.body import decode, media
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.named.tokens import TextReader
from harmgauge.api.body.steps import finish
from harmgauge.api.v2 import messages as v2
from harmgauge.api.v2 import named_messages
from harmgauge.errors import RequestError
from harmgauge.memory import give_back
from tests.fuzz.expected_named import NAMED
from tests.fuzz.large_named_bodies import BODY_BYTES, FOUR_MEGABYTES, NAMED_BODIES, filled, json_of
from tests.fuzz.target import SPECS
from tests.fuzz.targets.npy import frame
from tests.fuzz.targets.texts import CUT_TOKENS, splitting_tokenizer
from tests.fuzz.targets.v2 import OFFERED
from tests.support.toy_named import token_inputs

MAX_ROWS = 4096

MOST_TIMES = 14
"""Reading a body takes at most this many times the limit, in addition to the body itself."""

_HEAD = b'{"inputs":[{"name":"input","datatype":"UINT8","shape":[1,1],"data":['

_GAPS_HEAD = b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3],"data":['


_IMAGE = json.dumps([[[1] * 3] * 5] * 4, separators=(",", ":")).encode()


def _npy() -> bytes:
    header = b"{'descr': '<f8', 'fortran_order': True, 'shape': (%d, 1)}\n" % (BODY_BYTES // 8 - 16)
    return frame(1, header, bytes(8 * (BODY_BYTES // 8 - 16)))


def _grpc(*, wrong: bool) -> bytes:
    from harmgauge.api.grpc.protocol import methods

    request = methods()["ModelInfer"][0]()
    rows = BODY_BYTES - 64
    tensor = request.inputs.add(name="input", datatype="UINT8", shape=[1 if wrong else rows, 1])
    tensor.contents.uint_contents.extend(bytes(rows))
    return bytes(request.SerializeToString())


def _grpc_empty(*tags: int) -> bytes:
    """A message, or an input's contents, of nothing but empty fields."""
    from harmgauge.api.grpc.wire import block

    body = filled(b"", bytes((tags[-1], 0)), b"", BODY_BYTES - 64)
    for tag in reversed(tags[:-1]):
        body = block(tag, body)
    return body


def _bomb() -> bytes:
    picture = struct.pack(">IIBBBBB", 5, 4, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", picture), (b"iCCP", b"a\0\0" + zlib.compress(bytes(60 * 2**20))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


BODIES: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    **NAMED_BODIES,
    "json: numbers, one an instance": ("json", "bytes", lambda: json_of(b"[1]")),
    "json: numbers with points": ("json", "floats", lambda: json_of(b"[1.5,2.5,3.5]")),
    "json: digits for a float input": ("json", "floats", lambda: json_of(b"[1,2,3]")),
    "json: images": (
        "json",
        "pixels",
        lambda: json_of(_IMAGE),
    ),
    "json: nulls": ("json", "gaps", lambda: json_of(b"[null,null,null]")),
    "json: what begins like null": ("json", "gaps", lambda: json_of(b"[n,n,n]")),
    "json: empty lists": ("json", "bytes", lambda: json_of(b"[]")),
    "json: empty lists of images": ("json", "pixels", lambda: json_of(b"[]")),
    "json: empty lists, 4 MB": ("json", "bytes", lambda: json_of(b"[]", FOUR_MEGABYTES)),
    "json: empty objects, 4 MB": ("json", "bytes", lambda: json_of(b"{}", FOUR_MEGABYTES)),
    "json: objects, 4 MB": ("json", "bytes", lambda: json_of(b'{"":0}', FOUR_MEGABYTES)),
    "json: numbers one too many, 4 MB": ("json", "bytes", lambda: json_of(b"[1.0]", FOUR_MEGABYTES - 8)),
    "json: open brackets": ("json", "bytes", lambda: b"[" * BODY_BYTES),
    "json: one text": ("json", "bytes", lambda: json_of(b'"' + b"x" * (FOUR_MEGABYTES - 100) + b'"', FOUR_MEGABYTES)),
    "json: blanks": ("json", "bytes", lambda: b'{"instances":' + b" " * (BODY_BYTES - 30) + b"[[1]]}"),
    "json: one long name": ("json", "bytes", lambda: b'{"' + b"x" * (FOUR_MEGABYTES - 20) + b'":[[1]]}'),
    "npy: doubles for bytes": ("npy", "bytes", _npy),
    "raw: bytes": ("raw", "bytes", lambda: bytes(BODY_BYTES)),
    "raw: float32": ("raw", "floats", lambda: bytes(BODY_BYTES // 12 * 12)),
    "png: 60 MB of profile": ("png", "pixels", _bomb),
    "v2: empty lists, 4 MB": ("v2", "bytes", lambda: filled(_HEAD, b"[],", b"[]]}]}", FOUR_MEGABYTES)),
    "v2: lists of a number, 4 MB": ("v2", "bytes", lambda: filled(_HEAD, b"[1],", b"[1]]}]}", FOUR_MEGABYTES)),
    "v2: numbers, 4 MB": ("v2", "bytes", lambda: filled(_HEAD, b"1,", b"1]}]}", FOUR_MEGABYTES)),
    "v2: numbers": ("v2", "bytes", lambda: filled(_HEAD, b"1,", b"1]}]}")),
    "v2: numbers with points": ("v2", "bytes", lambda: filled(_HEAD, b"1.0,", b"1]}]}")),
    "v2: numbers with points, 4 MB": (
        "v2",
        "bytes",
        lambda: filled(_HEAD, b".5,".replace(b".", b"0."), b"1]}]}", FOUR_MEGABYTES),
    ),
    "v2: nulls": ("v2", "gaps", lambda: filled(_GAPS_HEAD, b"null,", b"1]}]}")),
    "v2: sizes, 4 MB": ("v2", "bytes", lambda: filled(_HEAD[:55], b"1,", b"1]}]}", FOUR_MEGABYTES)),
    "grpc: numbers": ("grpc", "bytes", lambda: _grpc(wrong=False)),
    "grpc: numbers that the shape has not": ("grpc", "bytes", lambda: _grpc(wrong=True)),
    "grpc: empty inputs": ("grpc", "bytes", lambda: _grpc_empty(0x2A)),
    "grpc: empty outputs": ("grpc", "bytes", lambda: _grpc_empty(0x32)),
    "grpc: empty parameters": ("grpc", "bytes", lambda: _grpc_empty(0x22)),
    "grpc: empty raw inputs": ("grpc", "bytes", lambda: _grpc_empty(0x3A)),
    "grpc: empty bytes as contents": ("grpc", "bytes", lambda: _grpc_empty(0x2A, 0x2A, 0x42)),
    "grpc: a shape of as many sizes": ("grpc", "bytes", lambda: _grpc_empty(0x2A, 0x1A, 0x01)),
}


SMALL = {"grpc": b"", "grpc_named": b"", "parquet": b"PAR1" * 4, "texts": b'{"instances":["a"]}'}
"""Read before measuring, to load everything that is loaded once."""


def _read_named(kind: str, name: str, body: bytes) -> None:
    if kind == "v2_named":
        length = body.find(b"}]}") + 3 if b"binary_data_size" in body[:256] else None
        header_length = None if length is None else str(length)
        finish(named_messages.reading(body, header_length, NamedReader(NAMED[name]), OFFERED, MAX_ROWS))
    elif kind == "grpc_named":
        from harmgauge.api.grpc import messages, wire

        parts = wire.split(body)
        finish(messages.reading_named(messages.envelope(parts), parts, NamedReader(NAMED[name]), OFFERED, MAX_ROWS))
    else:
        media_type = {"npz": media.NPZ, "parquet": media.PARQUET}.get(kind, media.JSON)
        texts = TextReader(token_inputs(), splitting_tokenizer(CUT_TOKENS)) if kind == "texts" else None
        finish(finish(NamedReader(NAMED[name], texts).opening(body, media_type, MAX_ROWS, BODY_BYTES)).steps())


def _read(kind: str, spec_name: str, body: bytes) -> str:
    if spec_name in NAMED:
        try:
            _read_named(kind, spec_name, body)
        except RequestError as error:
            return error.code
        return "taken"
    spec = SPECS[spec_name]
    try:
        if kind == "v2":
            v2.parse(body, None, spec, OFFERED)
        elif kind == "grpc":
            from harmgauge.api.grpc import messages, wire

            parts = wire.split(body)
            messages.parse(messages.envelope(parts), parts, spec, OFFERED)
        else:
            media_type = {"json": media.JSON, "npy": media.NPY, "raw": media.RAW, "png": "image/png"}[kind]
            decode.read(body, media_type, {}, spec)
    except RequestError as error:
        return error.code
    return "taken"


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def measure(name: str) -> tuple[str, int]:
    """The outcome for a body, and the bytes that it took in addition to itself; must run in a fresh process."""
    kind, spec_name, make = BODIES[name]
    body = make()
    assert len(body) <= BODY_BYTES
    _read(kind, spec_name, body if len(body) < 2**20 else SMALL.get(kind, b"x"))
    give_back()  # else reading would reuse what making the body has freed
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    outcome = _read(kind, spec_name, body)
    return outcome, _status("VmHWM") - before


_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.fuzz.test_memory"])  # imports take longer than any body


def _measured(name: str) -> tuple[str, int]:
    with _PROCESSES.Pool(1) as process:
        return process.apply_async(measure, (name,)).get(120)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("name", BODIES)
def test_memory_is_bounded_by_the_body_limit(name: str) -> None:
    outcome, taken_bytes = _measured(name)
    assert taken_bytes < MOST_TIMES * BODY_BYTES, outcome


def main() -> None:
    """Print the memory for each body, in the form of docs/fuzzing.md."""
    for name, (_, _, make) in BODIES.items():
        outcome, taken_bytes = _measured(name)
        mega = taken_bytes / 2**20
        print(f"| {name} | {len(make()) / 2**20:.1f} | {mega:.0f} | {taken_bytes / BODY_BYTES:.1f} | {outcome} |")


if __name__ == "__main__":
    main()
