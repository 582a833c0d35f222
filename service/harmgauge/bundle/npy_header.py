"""Parses the header of a `.npy` array: only the three entries that `numpy.save` writes.

NumPy parses a header as Python source; if that fails, it tries again with Python's tokenizer, which 4 KB of blanks keep
busy for seconds. Here a pattern without backtracking parses it, in time linear in its length. The format is that of
NumPy's NEP 1, versions 1.0 and 2.0.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import IO, Any, NamedTuple

import numpy as np

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}
_MAX_TEXT_BYTES = 4096
MAX_HEAD_BYTES = 8 + 4 + _MAX_TEXT_BYTES
"""Maximum length of a header."""

_BLANK = r"[ \t\n]*+"
_SIZE = rf"{_BLANK} (?: 0 | [1-9][0-9]{{0,18}}+ ) L?+ {_BLANK}"  # Python 2 appended an L to long integers
_ENTRY = re.compile(
    rf"""
    {_BLANK} (?:
        (['"])descr\1 {_BLANK} : {_BLANK} (['"])(?P<descr> [<>|=]?+ [biufcmMOSUV] [0-9]{{0,4}}+ (?: \[[A-Za-z]+\])?+)\2
      | (['"])fortran_order\4 {_BLANK} : {_BLANK} (?P<fortran_order> True | False )
      | (['"])shape\6 {_BLANK} : {_BLANK} \( (?P<shape> (?: (?:{_SIZE},)++ (?:{_SIZE})?+ )?+ {_BLANK} ) \)
    )
    {_BLANK} (?: , | (?=}}) ) {_BLANK}
    """,
    re.VERBOSE,
)


class NpyHeader(NamedTuple):
    """Shape, order and dtype of the array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]


def read_npy_header(stream: IO[bytes]) -> NpyHeader:
    """Read the header of the `.npy` array that begins here; leaves the stream at the data. Raises ValueError."""
    magic = stream.read(8)
    if magic[:6] != _MAGIC or len(magic) < 8:
        raise ValueError("it does not begin like one")
    version = magic[6], magic[7]
    if version not in _LENGTH_BYTES:
        raise ValueError(f"the .npy format version {version} is not supported; 1.0 and 2.0 are")
    size_bytes = int.from_bytes(stream.read(_LENGTH_BYTES[version]), "little")
    if size_bytes > _MAX_TEXT_BYTES:
        raise ValueError(f"its header has {size_bytes} bytes; expected at most {_MAX_TEXT_BYTES}")
    text = stream.read(size_bytes)
    if len(text) < size_bytes:
        raise ValueError("it ends within its header")
    return _parsed(text.decode("latin-1"))


@lru_cache(maxsize=64)
def _parsed(text: str) -> NpyHeader:
    """Cached, because clients send the same headers again and again."""
    entries = _entries(text)
    try:
        dtype = np.dtype(entries["descr"])
    except TypeError:
        raise ValueError(f"unknown dtype {entries['descr']!r}") from None
    shape = tuple(int(size.rstrip("L \t\n")) for size in entries["shape"].split(",") if size.strip())
    return NpyHeader(shape, entries["fortran_order"] == "True", dtype)


def _entries(text: str) -> dict[str, str]:
    """The text of each value by its name."""
    text = text.strip(" \t\n")
    entries: dict[str, str] = {}
    at = 1
    while (entry := _ENTRY.match(text, at)) and entry.lastgroup:
        if entry.lastgroup in entries:
            break
        entries[entry.lastgroup] = entry[entry.lastgroup]
        at = entry.end()
    if text[:1] != "{" or text[at:] != "}" or len(entries) < 3:
        raise ValueError("its header must have only 'descr', 'fortran_order' and 'shape', as numpy.save writes them")
    return entries
