"""The memory for reading a body at the size limit is a bounded multiple of its size, whatever it contains."""

from __future__ import annotations

import io
import json
import multiprocessing
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from harmgauge.api.body import decode, media
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.steps import finish
from harmgauge.api.v2 import messages as v2
from harmgauge.bundle.rows import Rows
from harmgauge.errors import RequestError
from tests.fuzz.expected_named import NAMED
from tests.fuzz.target import SPECS
from tests.fuzz.targets.npy import frame
from tests.fuzz.targets.v2 import OFFERED
from tests.support.toy_named import table_rows

BODY_BYTES = 16 * 2**20
"""A service's default limit."""

MOST_TIMES = 14
"""Reading a body takes at most this many times the limit, in addition to the body itself."""


def _filled(begin: bytes, unit: bytes, end: bytes, size: int = BODY_BYTES) -> bytes:
    return begin + unit * ((size - len(begin) - len(end)) // len(unit)) + end


def _json(unit: bytes, size: int = BODY_BYTES) -> bytes:
    return _filled(b'{"instances":[', unit + b",", unit + b"]}", size)


_FOUR = 4 * 2**20
_HEAD = b'{"inputs":[{"name":"input","datatype":"UINT8","shape":[1,1],"data":['

_GAPS_HEAD = b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3],"data":['


def _npy() -> bytes:
    header = b"{'descr': '<f8', 'fortran_order': True, 'shape': (%d, 1)}\n" % (BODY_BYTES // 8 - 16)
    return frame(1, header, bytes(8 * (BODY_BYTES // 8 - 16)))


_RECORD = json.dumps({name: array[0, 0].item() for name, array in table_rows(1).items()}).encode()


def _npz(array: Rows) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, message=array)
    return stream.getvalue()


def _npz_names() -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        for at in range(90_000):
            archive.writestr(f"{at}.npy", b"")
    return stream.getvalue()


def _parquet(strings: list[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({"message": strings}), stream, compression="none")
    return stream.getvalue()


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

    body = _filled(b"", bytes((tags[-1], 0)), b"", BODY_BYTES - 64)
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
    "json: numbers, one an instance": ("json", "bytes", lambda: _json(b"[1]")),
    "json: numbers with points": ("json", "floats", lambda: _json(b"[1.5,2.5,3.5]")),
    "json: digits for a float input": ("json", "floats", lambda: _json(b"[1,2,3]")),
    "json: images": ("json", "pixels", lambda: _json(json.dumps([[[1] * 3] * 5] * 4, separators=(",", ":")).encode())),
    "json: nulls": ("json", "gaps", lambda: _json(b"[null,null,null]")),
    "json: what begins like null": ("json", "gaps", lambda: _json(b"[n,n,n]")),
    "json: empty lists": ("json", "bytes", lambda: _json(b"[]")),
    "json: empty lists of images": ("json", "pixels", lambda: _json(b"[]")),
    "json: empty lists, 4 MB": ("json", "bytes", lambda: _json(b"[]", _FOUR)),
    "json: empty objects, 4 MB": ("json", "bytes", lambda: _json(b"{}", _FOUR)),
    "json: objects, 4 MB": ("json", "bytes", lambda: _json(b'{"":0}', _FOUR)),
    "json: numbers one too many, 4 MB": ("json", "bytes", lambda: _json(b"[1.0]", _FOUR - 8)),
    "json: open brackets": ("json", "bytes", lambda: b"[" * BODY_BYTES),
    "json: one text": ("json", "bytes", lambda: _json(b'"' + b"x" * (_FOUR - 100) + b'"', _FOUR)),
    "json: blanks": ("json", "bytes", lambda: b'{"instances":' + b" " * (BODY_BYTES - 30) + b"[[1]]}"),
    "json: one long name": ("json", "bytes", lambda: b'{"' + b"x" * (_FOUR - 20) + b'":[[1]]}'),
    "records: columns": ("records", "table", lambda: _json(_RECORD)),
    "records: strings of two characters": ("records", "strings", lambda: _json(b'"ab"')),
    "records: tokens, one a row": ("records", "tokens", lambda: _json(b'{"input_ids":[1],"attention_mask":[1]}')),
    "records: one row of tokens": (
        "records",
        "tokens",
        lambda: _filled(b'{"instances":[{"attention_mask":[1],"input_ids":[', b"1,", b"1]}]}"),
    ),
    "records: objects without keys": ("records", "table", lambda: _json(b"{}")),
    "records: braces in a string": ("records", "strings", lambda: _filled(b'{"instances":["', b"},", b'"]}')),
    "npz: one-character strings": ("npz", "strings", lambda: _npz(np.full((BODY_BYTES // 4 - 256, 1), "\u4e00"))),
    "npz: a list of names": ("npz", "table", _npz_names),
    "parquet: a dictionary of one long string": ("parquet", "strings", lambda: _parquet(["x" * 100_000] * 4096)),
    "parquet: 16 MB of strings": ("parquet", "strings", lambda: _parquet([f"{at:04000}" for at in range(4000)])),
    "npy: doubles for bytes": ("npy", "bytes", _npy),
    "raw: bytes": ("raw", "bytes", lambda: bytes(BODY_BYTES)),
    "raw: float32": ("raw", "floats", lambda: bytes(BODY_BYTES // 12 * 12)),
    "png: 60 MB of profile": ("png", "pixels", _bomb),
    "v2: empty lists, 4 MB": ("v2", "bytes", lambda: _filled(_HEAD, b"[],", b"[]]}]}", _FOUR)),
    "v2: lists of a number, 4 MB": ("v2", "bytes", lambda: _filled(_HEAD, b"[1],", b"[1]]}]}", _FOUR)),
    "v2: numbers, 4 MB": ("v2", "bytes", lambda: _filled(_HEAD, b"1,", b"1]}]}", _FOUR)),
    "v2: numbers": ("v2", "bytes", lambda: _filled(_HEAD, b"1,", b"1]}]}")),
    "v2: numbers with points": ("v2", "bytes", lambda: _filled(_HEAD, b"1.0,", b"1]}]}")),
    "v2: numbers with points, 4 MB": (
        "v2",
        "bytes",
        lambda: _filled(_HEAD, b".5,".replace(b".", b"0."), b"1]}]}", _FOUR),
    ),
    "v2: nulls": ("v2", "gaps", lambda: _filled(_GAPS_HEAD, b"null,", b"1]}]}")),
    "v2: sizes, 4 MB": ("v2", "bytes", lambda: _filled(_HEAD[:55], b"1,", b"1]}]}", _FOUR)),
    "grpc: numbers": ("grpc", "bytes", lambda: _grpc(wrong=False)),
    "grpc: numbers that the shape has not": ("grpc", "bytes", lambda: _grpc(wrong=True)),
    "grpc: empty inputs": ("grpc", "bytes", lambda: _grpc_empty(0x2A)),
    "grpc: empty outputs": ("grpc", "bytes", lambda: _grpc_empty(0x32)),
    "grpc: empty parameters": ("grpc", "bytes", lambda: _grpc_empty(0x22)),
    "grpc: empty raw inputs": ("grpc", "bytes", lambda: _grpc_empty(0x3A)),
    "grpc: empty bytes as contents": ("grpc", "bytes", lambda: _grpc_empty(0x2A, 0x2A, 0x42)),
    "grpc: a shape of as many sizes": ("grpc", "bytes", lambda: _grpc_empty(0x2A, 0x1A, 0x01)),
}


SMALL = {"grpc": b"", "parquet": b"PAR1" * 4}
"""Read before measuring, to load everything that is loaded once."""


def _read_named(kind: str, name: str, body: bytes) -> None:
    media_type = {"records": media.JSON, "npz": media.NPZ, "parquet": media.PARQUET}[kind]
    finish(finish(NamedReader(NAMED[name]).opening(body, media_type, 4096, BODY_BYTES)).steps())


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
