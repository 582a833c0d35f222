"""A reader under test, and the form of its cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError
from tests.support.toy import instances

CORPUS = Path(__file__).parent / "corpus"
"""Cases that revealed a defect, and hostile ones written by hand: a folder for each reader, each file named after its
content.
"""

LONGEST_DETAIL = 500
"""Most characters of an error text: the client's own megabytes are never sent back."""

SPECS = {
    "pixels": InputSpec(
        dtype="uint8", shape=(4, 5, 3), minimum=0, maximum=255, image=ImageSpec(mode="RGB", layout="HWC", scale=1)
    ),
    "unit": InputSpec(
        dtype="float32", shape=(1, 4, 5), minimum=0, maximum=1, image=ImageSpec(mode="L", layout="CHW", scale=1 / 255)
    ),
    "any_size": InputSpec(
        dtype="uint8",
        shape=(4, 5, 3),
        minimum=0,
        maximum=255,
        image=ImageSpec(mode="RGB", layout="HWC", resize=6, crop=(5, 4)),
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
    """Rows (n, *shape) of zeros and ones in the input's dtype, with missing values if the input accepts them."""
    x = (instances(rows, spec.shape) % 2).astype(spec.numpy_dtype)
    if spec.missing:
        x.reshape(-1)[:: spec.row_size] = np.nan
    return x


@dataclass(frozen=True)
class Target:
    """`check` reads a case and returns the outcome in a word; it raises for any failure.

    `mutate` makes another case from one, with a second seed to splice from.
    """

    name: str
    check: Callable[[bytes], str]
    seeds: list[bytes]
    mutate: Callable[[bytes, bytes, Random], bytes]

    @cached_property
    def known(self) -> list[bytes]:
        """The seeds, and the cases found before."""
        return self.seeds + [file.read_bytes() for file in corpus(self.name)]

    def case(self, chance: Random) -> bytes:
        """A new case, mutated from a known one."""
        return self.mutate(chance.choice(self.known), chance.choice(self.known), chance)


def corpus(reader: str) -> list[Path]:
    """The files of a reader's cases, by name."""
    return sorted((CORPUS / reader).glob("*"))


def split(case: bytes) -> tuple[InputSpec, list[str], bytes]:
    """The parts of a case: its first line names the input's specification and may have more words; the rest is the
    body.
    """
    head, _, body = case.partition(b"\n")
    words = head.decode("latin-1").split(" ")
    return SPECS.get(words[0], SPECS["pixels"]), words[1:], body


def attempt(read: Callable[[], T]) -> T | RequestError:
    """The result of `read`, or its error, which must be the client's fault and fit into a response."""
    try:
        return read()
    except RequestError as error:
        assert 400 <= error.status < 500, f"{error.status}: {error.detail}"
        assert error.__cause__ is None, "a refusal is no failure of the inside"
        assert 0 < len(error.detail) <= LONGEST_DETAIL, f"a detail of {len(error.detail)} characters"
        error.detail.encode()
        return error


def check_rows(found: object, expected: object, spec: InputSpec) -> str:
    """`found` are rows or an error, `expected` are rows, or None if the body must be rejected."""
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
