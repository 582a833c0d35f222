"""A reader under test, and the form of its cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np

from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import ImageSpec, InputSpec
from harmgauge.errors import RequestError
from tests.support.toy import instances

CORPUS = Path(__file__).parent / "corpus"
"""Cases that led to a defect, and hostile ones written by hand: one folder a reader, each file named for what it is."""

LONGEST_DETAIL = 500
"""Characters of the text that says what is wrong: nobody gets his own megabytes back."""

SPECS = {
    "pixels": InputSpec(
        dtype="uint8", shape=(4, 5, 3), minimum=0, maximum=255, image=ImageSpec(mode="RGB", layout="HWC", scale=1)
    ),
    "unit": InputSpec(
        dtype="float32", shape=(1, 4, 5), minimum=0, maximum=1, image=ImageSpec(mode="L", layout="CHW", scale=1 / 255)
    ),
    "bytes": InputSpec(dtype="uint8", shape=(1,)),
    "floats": InputSpec(dtype="float32", shape=(3,)),
    "halves": InputSpec(dtype="float16", shape=(2, 2)),
    "doubles": InputSpec(dtype="float64", shape=(2,), minimum=-1e3),
    "shorts": InputSpec(dtype="int16", shape=(2,)),
    "longs": InputSpec(dtype="int64", shape=(2,)),
    "gaps": InputSpec(dtype="float32", shape=(3,), missing=True),
    "bounded_gaps": InputSpec(dtype="float64", shape=(2,), minimum=-1e3, maximum=1e3, missing=True),
    "half_gaps": InputSpec(dtype="float16", shape=(2, 2), missing=True),
}

T = TypeVar("T")


def seed_rows(rows: int, spec: InputSpec) -> Rows:
    """Rows (n, *shape) of zeros and ones in the input's dtype, with gaps if it may have some."""
    x = (instances(rows, spec.shape) % 2).astype(spec.numpy_dtype)
    if spec.missing:
        x.reshape(-1)[:: spec.row_size] = np.nan
    return x


@dataclass(frozen=True)
class Target:
    """`check` reads a case and says how it went in a word; it raises whatever must not be.

    `mutate` makes another case of one, with another seed at hand to splice.
    """

    name: str
    check: Callable[[bytes], str]
    seeds: list[bytes]
    mutate: Callable[[bytes, bytes, Random], bytes]

    @cached_property
    def known(self) -> list[bytes]:
        """The seeds, and the cases that were found before."""
        return self.seeds + [file.read_bytes() for file in corpus(self.name)]

    def case(self, chance: Random) -> bytes:
        """Another case made of what is known."""
        return self.mutate(chance.choice(self.known), chance.choice(self.known), chance)


def corpus(reader: str) -> list[Path]:
    """The files of a reader's cases, by name."""
    return sorted((CORPUS / reader).glob("*"))


def split(case: bytes) -> tuple[InputSpec, list[str], bytes]:
    """A case's first line names the input's specification, and may say more; what follows is the body."""
    head, _, body = case.partition(b"\n")
    words = head.decode("latin-1").split(" ")
    return SPECS.get(words[0], SPECS["pixels"]), words[1:], body


def attempt(read: Callable[[], T]) -> T | RequestError:
    """What `read` gives, or the refusal, which must be the client's fault and fit into an answer."""
    try:
        return read()
    except RequestError as error:
        assert 400 <= error.status < 500, f"{error.status}: {error.detail}"
        assert error.__cause__ is None, "a refusal is no failure of the inside"
        assert 0 < len(error.detail) <= LONGEST_DETAIL, f"a detail of {len(error.detail)} characters"
        error.detail.encode()
        return error


def check_rows(found: object, expected: object, spec: InputSpec) -> str:
    """`found` are rows or a refusal, `expected` are rows, or None where the body is not to be taken."""
    if isinstance(found, RequestError):
        assert expected is None, f"refused ({found.detail}), but it is good: {expected}"
        return found.code
    assert isinstance(found, np.ndarray)
    assert expected is not None, f"taken, but it is not good: {found}"
    assert isinstance(expected, np.ndarray)
    assert found.dtype == spec.numpy_dtype
    assert found.shape == expected.shape
    assert found.shape[1:] == spec.shape
    assert len(found) >= 1
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected, equal_nan=spec.missing), f"{found} is not {expected}"
    return "taken"
