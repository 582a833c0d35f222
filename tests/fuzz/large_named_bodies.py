"""Bodies at the size limit for readers of inputs by name."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from zipfile import ZipFile

import numpy as np

from harmgauge.bundle.rows import Rows
from tests.support.toy_named import table_rows

BODY_BYTES = 16 * 2**20
"""A service's default limit."""

FOUR_MEGABYTES = 4 * 2**20

_ROWS, _LONG = 4000, b"free " * 830
"""Rows within a service's default limit, whose strings fill a body."""

_SHORT = BODY_BYTES // 4 - 64
"""Strings of at most one character."""

_PACKED = struct.pack("<I", len(_LONG)) + _LONG


def filled(begin: bytes, unit: bytes, end: bytes, size: int = BODY_BYTES) -> bytes:
    """`begin`, as many `unit` as fit into `size`, and `end`."""
    return begin + unit * ((size - len(begin) - len(end)) // len(unit)) + end


def json_of(unit: bytes, size: int = BODY_BYTES) -> bytes:
    """A body whose instances all are `unit`."""
    return filled(b'{"instances":[', unit + b",", unit + b"]}", size)


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


def _json_of_long(instance: bytes) -> bytes:
    return json_of(instance.replace(b"%s", b'"' + _LONG + b'"'))


def _tensor(name: str, datatype: str, shape: list[int], data: bytes) -> bytes:
    head = json.dumps({"name": name, "datatype": datatype, "shape": shape})[:-1]
    return head.encode() + b',"data":[' + data[:-1] + b"]}"


def _v2_tokens(token: bytes, size: int = BODY_BYTES) -> bytes:
    """As many rows of one token as fit."""
    rows = (size - 400) // (2 * len(token))
    tensors = [_tensor(name, "INT64", [rows, 1], token * rows) for name in ("input_ids", "attention_mask")]
    return b'{"inputs":[' + b",".join(tensors) + b"]}"


def _v2_strings(string: bytes, size: int = BODY_BYTES) -> bytes:
    rows = (size - 200) // len(string)
    return b'{"inputs":[' + _tensor("message", "BYTES", [rows, 1], string * rows) + b"]}"


def _v2_binary(strings: bytes, rows: int) -> bytes:
    """A BYTES tensor after the JSON."""
    tensor = {"name": "message", "datatype": "BYTES", "shape": [rows, 1]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(strings)}}]}).encode()
    return head + strings


def _grpc_strings(*, raw: bytes = b"", rows: int, contents: bytes = b"") -> bytes:
    from harmgauge.api.grpc.protocol import methods

    request = methods()["ModelInfer"][0]()
    tensor = request.inputs.add(name="message", datatype="BYTES", shape=[rows, 1])
    if raw:
        request.raw_input_contents.append(raw)
    else:
        tensor.contents.bytes_contents.extend([contents] * rows)
    return bytes(request.SerializeToString())


def _grpc_tokens() -> bytes:
    from harmgauge.api.grpc.protocol import methods

    request = methods()["ModelInfer"][0]()
    rows = BODY_BYTES // 2 - 128
    for name in ("input_ids", "attention_mask"):
        request.inputs.add(name=name, datatype="INT64", shape=[rows, 1]).contents.int64_contents.extend([1] * rows)
    return bytes(request.SerializeToString())


NAMED_BODIES: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "records: columns": ("records", "table", lambda: json_of(_RECORD)),
    "records: strings of two characters": ("records", "strings", lambda: json_of(b'"ab"')),
    "records: tokens, one a row": ("records", "tokens", lambda: json_of(b'{"input_ids":[1],"attention_mask":[1]}')),
    "records: one row of tokens": (
        "records",
        "tokens",
        lambda: filled(b'{"instances":[{"attention_mask":[1],"input_ids":[', b"1,", b"1]}]}"),
    ),
    "records: objects without keys": ("records", "table", lambda: json_of(b"{}")),
    "records: braces in a string": ("records", "strings", lambda: filled(b'{"instances":["', b"},", b'"]}')),
    "npz: one-character strings": ("npz", "strings", lambda: _npz(np.full((BODY_BYTES // 4 - 256, 1), "\u4e00"))),
    "npz: a list of names": ("npz", "table", _npz_names),
    "parquet: a dictionary of one long string": ("parquet", "strings", lambda: _parquet(["x" * 100_000] * 4096)),
    "parquet: 16 MB of strings": ("parquet", "strings", lambda: _parquet([f"{at:04000}" for at in range(4000)])),
    "texts: a character each": ("texts", "tokens", lambda: json_of(b'"a"')),
    "texts: objects": ("texts", "tokens", lambda: json_of(b'{"text":"free"}')),
    "texts: long ones of one-letter words": ("texts", "tokens", lambda: json_of(b'"' + b"a " * 65_000 + b'"')),
    "v2 by name: tokens": ("v2_named", "tokens", lambda: _v2_tokens(b"1,")),
    "v2 by name: fractions for tokens": ("v2_named", "tokens", lambda: _v2_tokens(b"1.5,")),
    "v2 by name: tokens, 4 MB": ("v2_named", "tokens", lambda: _v2_tokens(b"1,", FOUR_MEGABYTES)),
    "v2 by name: strings": ("v2_named", "strings", lambda: _v2_strings(b'"a",')),
    "v2 by name: strings, 4 MB": ("v2_named", "strings", lambda: _v2_strings(b'"a",', FOUR_MEGABYTES)),
    "v2 by name: empty strings in binary": (
        "v2_named",
        "strings",
        lambda: _v2_binary(bytes(4 * _SHORT), _SHORT),
    ),
    "grpc by name: tokens in contents": ("grpc_named", "tokens", _grpc_tokens),
    "grpc by name: strings in contents": (
        "grpc_named",
        "strings",
        lambda: _grpc_strings(rows=BODY_BYTES // 3 - 64, contents=b"a"),
    ),
    "grpc by name: empty strings in raw contents": (
        "grpc_named",
        "strings",
        lambda: _grpc_strings(rows=BODY_BYTES // 4 - 64, raw=bytes(BODY_BYTES - 256)),
    ),
    "records: 4,000 long strings": ("records", "strings", lambda: _json_of_long(b"%s")),
    "texts: 4,000 long ones": ("texts", "tokens", lambda: _json_of_long(b'{"text":%s}')),
    "v2 by name: 4,000 long strings": ("v2_named", "strings", lambda: _v2_strings(b'"' + _LONG + b'",')),
    "v2 by name: 4,000 long strings in binary": ("v2_named", "strings", lambda: _v2_binary(_PACKED * _ROWS, _ROWS)),
    "grpc by name: 4,000 long strings in contents": (
        "grpc_named",
        "strings",
        lambda: _grpc_strings(rows=_ROWS, contents=_LONG),
    ),
    "grpc by name: 4,000 long strings in raw contents": (
        "grpc_named",
        "strings",
        lambda: _grpc_strings(rows=_ROWS, raw=_PACKED * _ROWS),
    ),
}
"""By title: the reader, the inputs, and a function that makes the body."""
