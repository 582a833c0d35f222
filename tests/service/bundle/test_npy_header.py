from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.npy_header import read_npy_header


@pytest.mark.parametrize("dtype", ["|u1", "<f8", ">i4", "<f2", "|b1", "<M8[ns]", "<M8[D]", "<U7", "<c16"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 32, 32, 3)])
def test_what_numpy_saves_is_read_as_numpy_reads_it(dtype: str, shape: tuple[int, ...]) -> None:
    array: np.ndarray[Any, Any] = np.zeros(shape, dtype, order="F")
    stream = io.BytesIO()
    np.save(stream, array)
    stream.seek(0)
    found = read_npy_header(stream)
    assert (found.shape, found.dtype) == (shape, array.dtype)
    assert found.fortran_order == (len(shape) > 1)
    assert stream.tell() == len(stream.getvalue()) - array.nbytes


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        "{'descr': '<f8', 'fortran_order': False}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (5)}",
        "{'descr': '<f8', 'fortran_order': 1, 'shape': (5,)}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (5,)}",
        "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (5,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (5,)}\xa0",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "5," * 2000,
        "{'descr': '<f8'" + " " * 4000,
    ],
)
def test_what_numpy_would_not_save_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="header|dtype"):
        read_npy_header(io.BytesIO(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode("latin-1")))
