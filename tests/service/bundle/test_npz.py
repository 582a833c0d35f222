"""Archives whose headers lie about their contents."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of

from harmgauge.bundle.npz import MAX_ARRAYS, read_npy, read_npz


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def archive(*members: tuple[str, bytes], packed: int = zipfile.ZIP_STORED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as writer:
        for name, content in members:
            writer.writestr(name, content)
    return stream


def claims(shape: str, descr: str = "<f8") -> bytes:
    """An array of eight bytes whose header states something else."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@settings(deadline=None)
@given(
    array=of.arrays(
        st.sampled_from(["<f8", "<f4", "|u1", "<i8", "|b1", "<U3", ">i2"]),
        of.array_shapes(min_dims=0, min_side=0, max_dims=4),
    ),
    fortran=st.booleans(),
)
def test_it_reads_what_numpy_wrote(save: Any, array: Any, fortran: bool) -> None:
    stream = io.BytesIO()
    save(stream, x=np.array(array, order="F" if fortran else "C"), allow_pickle=False)
    found = read_npz(stream)["x"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


def test_from_a_path_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones((2, 0)))
    assert list(read_npz(tmp_path / "a.npz")) == ["x", "y"]
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "missing")


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    packed = archive(("scores.npy", npy(np.zeros(10**7))), packed=zipfile.ZIP_DEFLATED)
    assert len(packed.getvalue()) < 100_000
    with pytest.raises(ValueError, match="it has 80000128 bytes uncompressed; expected at most 1000000"):
        read_npz(packed, 10**6)


def test_a_bomb_that_understates_its_size_gives_no_more_than_it_says() -> None:
    packed = archive(("scores.npy", npy(np.zeros(10**6))), packed=zipfile.ZIP_DEFLATED).getvalue()
    true, said = (8_000_128).to_bytes(4, "little"), (136).to_bytes(4, "little")
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_npz(io.BytesIO(packed.replace(true, said)), 10**6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (claims("(10**12,)"), "does not contain a valid .npy array"),
        (claims("(1000000000000,)"), "an array declares 8000000000000 bytes, but 8 are there"),
        (claims(f"({2**62}, {2**62}, 0)"), "an array declares 0 bytes"),
        (claims("(-1,)"), "does not contain a valid .npy array"),
        (claims("(1,)", "|O"), "pickled objects, which are never loaded"),
        (npy(np.array([{}]), allow_pickle=True), "pickled objects, which are never loaded"),
        (b"", "does not contain a valid .npy array"),
        (b"\x93NUMPY\x03\x00" + bytes(200), r"version \(3, 0\) is not supported"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(200), "does not contain a valid .npy array"),
        (claims("((" * 40), "does not contain a valid .npy array"),
    ],
)
def test_a_header_that_lies_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_npz(archive(("x.npy", content)))
    with pytest.raises(ValueError, match=message):
        read_npy(io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    ("packed", "message"),
    [(zipfile.ZIP_LZMA, "compressed in a way that NumPy"), (zipfile.ZIP_BZIP2, "compressed in a way that NumPy")],
)
def test_other_ways_of_packing_are_refused(packed: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_npz(archive(("x.npy", npy(np.zeros(3))), packed=packed))


def test_names_are_keys_and_never_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(read_npz(archive(("../../evil.npy", npy(1)), ("/evil.npy", npy(2))))) == ["../../evil", "/evil"]
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(("x.npy", npy(1)), ("x.npy", npy(2)))
    for stream in (twice, archive(*((f"{index}.npy", b"") for index in range(MAX_ARRAYS + 1)))):
        with pytest.raises(ValueError, match=f"two arrays with the same name, or more than {MAX_ARRAYS} arrays"):
            read_npz(stream)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_arrays_or_a_value_error(data: bytes, at: int, byte: int) -> None:
    spoiled = bytearray(archive(("x.npy", npy(np.arange(9)))).getvalue())
    spoiled[at % len(spoiled)] = byte
    for stream in (io.BytesIO(data), io.BytesIO(spoiled)):
        try:
            read_npz(stream, 10**6)
        except ValueError:
            continue


@pytest.mark.parametrize("end", [b"", b"x" * (2**22)])
def test_a_long_list_of_names_is_refused_unread(end: bytes) -> None:
    """One of 100 MB took 24 s and a gigabyte."""
    name = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 45, 3, 45, 0, 0, 0, 0, 33, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    names = b"".join(name + b"%08d" % number for number in range(100_000))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(names), 0, len(end) % 65536)
    begin = time.thread_time()
    with pytest.raises(ValueError, match="list of names|not a zip"):
        read_npz(io.BytesIO(names + tail + end), 10**6)
    assert time.thread_time() - begin < 0.2
