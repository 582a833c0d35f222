"""`.npy` bodies, compared with numpy's own reader."""

from __future__ import annotations

import ast
import io
import math
import re
import struct
from itertools import permutations
from random import Random
from typing import Any

import numpy as np

from harmgauge.api.body import decode, media
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError
from tests.fuzz.expected import rows_of_flat
from tests.fuzz.mutate import NUMBERS, bytewise
from tests.fuzz.target import SPECS, Target, attempt, check_rows, seed_rows, split
from tests.support.toy import instances

_MAGIC = b"\x93NUMPY"
_DTYPES = ("u1", "i1", "<u2", ">i2", "<i4", ">i4", "<i8", "<u8", "<f2", ">f4", "<f4", "<f8", ">f8", "<f16", "?")
_TOKENS = [
    *NUMBERS, *(f"'{name}'".encode() for name in _DTYPES), b"'|O'", b"'<M8[s]'", b"'S4'", b"'U2'", b"'V3'", b"'<c8'",
    b"[('a', '<f4')]", b"[('\\ud800', '<f4')]", b"('<f4', (2,))", b"True", b"False", b"None", b"(", b")", b"((", b"("
    * 200, b"[" * 300, b"-", b"~", b"not ", b"'fortran_order'", b"'shape'", b"'descr'", b", 'x': 1", b"{", b"}",
    b"()", b"(1,)", b"0x" + b"f" * 3900, b"0b1", b"1j", b"9" * 3900, b"L", b"\\", b"'" * 3, b"#", b"lambda: 0",
    b"[0]*9999999", b"{**{}}", b"(-1, 4, 5, 3)", b"(True, 4, 5, 3)", b"(4611686018427387904, 4, 5, 3)",
    b"(1.0, 4, 5, 3)", b"(2, 60)",
]  # fmt: skip
_LENGTHS = [
    b"0", b"1", b"-1", b"True", b"1.0", b"4611686018427387904", b"9223372036854775808", b"0x1", b"0x" + b"f" * 3900,
    b"9" * 3900, b"None", b"'1'", b"(1,)", b"1j", b"-0", b"2L", b"1, 4",
]  # fmt: skip
_bytewise = bytewise(_TOKENS)


def frame(version: int, header: bytes, data: bytes, length: int | None = None) -> bytes:
    form = "<H" if version == 1 else "<I"
    given = len(header) if length is None else length
    return (
        _MAGIC
        + bytes([version & 255, 0])
        + struct.pack(form, given & (0xFFFF if version == 1 else 2**32 - 1))
        + header
        + data
    )


def _mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Half of the time mutates the parts, which are assembled with the right header length."""
    head, _, body = case.partition(b"\n")
    if chance.random() < 0.3 or body[:6] != _MAGIC or len(body) < 12:
        return head + b"\n" + _bytewise(body, other.partition(b"\n")[2], chance)
    version = body[6]
    begin, form = (10, "<H") if version == 1 else (12, "<I")
    (length,) = struct.unpack_from(form, body, 8)
    header, data = body[begin : begin + length], body[begin + length :]
    match chance.randrange(6):
        case 0 | 1 | 2:
            header = _bytewise(header, b"", chance)
        case 3:
            data = _bytewise(data, b"", chance)
        case 4:
            version = chance.choice((1, 2, 3, 0, 255))
            header = header.rstrip(b" \n") + b" " * chance.choice((0, 1, 60, 4000, 60_000)) + b"\n"
        case _:
            lengths = re.findall(rb"\d+", header.partition(b"'shape'")[2]) or [b"1"]
            lengths[chance.randrange(len(lengths))] = chance.choice(_LENGTHS)
            header = re.sub(rb"\([\d, ]*\)", b"(" + b", ".join(lengths) + b",)", header)
    length = chance.choice((0, 1, 65535, 2**31, len(data))) if chance.random() < 0.05 else len(header)
    return head + b"\n" + frame(version, header, data, length)


def _numpy_reads(body: bytes) -> Any:
    """The array by `np.load`; None if the header is not one that `numpy.save` writes, or does not fit the data.

    Runs of blanks are replaced by one: numpy needs seconds for thousands of them in a header that is not valid Python.
    """
    form = {b"\x93NUMPY\1\0": "<H", b"\x93NUMPY\2\0": "<I"}.get(body[:8])
    if form is None or len(body) < 8 + struct.calcsize(form):
        return None
    begin = 8 + struct.calcsize(form)
    end = begin + struct.unpack_from(form, body, 8)[0]
    if end - begin > 4096 or len(body) < end:
        return None
    header = re.sub(
        r"(?<=\d)L(?=[ \t\n,)])", "", re.sub(r"[ \t\n]+", " ", body[begin:end].decode("latin-1")).strip(" ")
    )
    try:
        said = ast.literal_eval(header)
        if (
            not _is_sober(header, said)
            or math.prod(said["shape"]) * np.dtype(said["descr"]).itemsize != len(body) - end
        ):
            return None
        return np.load(io.BytesIO(frame(2, header.encode("latin-1"), body[end:])), allow_pickle=False)
    except Exception:  # a wrong header can raise any error
        return None


def _is_sober(header: str, said: Any) -> bool:
    """Whether the values are written as this text: no duplicate key, no other spelling of a number, text or list."""
    if set(said) != {"descr", "fortran_order", "shape"} or not isinstance(said["shape"], tuple):
        return False
    if not re.fullmatch(r"[<>|=]?[biuf]\d{0,4}", said["descr"]):
        return False
    entries = [
        f"'descr':'{said['descr']}'",
        f"'fortran_order':{said['fortran_order']}",
        f"'shape':({','.join(map(str, said['shape']))})",
    ]
    squeezed = header.replace(" ", "").replace('"', "'").replace(",)", ")").replace(",}", "}")
    return any("{" + ",".join(order) + "}" == squeezed for order in permutations(entries)) and not isinstance(
        said["fortran_order"], str
    )


def _expected(body: bytes, spec: InputSpec) -> Any:
    array = _numpy_reads(body)
    if array is None or array.dtype.kind not in "iuf" or array.shape[1:] != spec.shape or array.ndim == 0:
        return None
    return rows_of_flat(array.reshape(-1).tolist(), len(array), spec)


def check(case: bytes) -> str:
    spec, _, body = split(case)
    found = attempt(lambda: decode.read(body, media.NPY, {}, spec))
    rows = found if isinstance(found, RequestError) else found.instances
    return check_rows(rows, _expected(body, spec), spec)


def _seeds() -> list[bytes]:
    made = []
    for name, spec in SPECS.items():
        for dtype in (spec.dtype, *_DTYPES[:-1]):
            stream = io.BytesIO()
            is_whole = np.dtype(dtype).kind in "iu"
            array = ((instances(2, spec.shape) % 2) if is_whole else seed_rows(2, spec)).astype(dtype)
            np.save(stream, np.asfortranarray(array) if dtype == ">f4" else array)
            made.append(name.encode() + b"\n" + stream.getvalue())
    return made


TARGET = Target("npy", check, _seeds(), _mutate)
