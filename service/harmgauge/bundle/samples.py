"""The sample instances in a bundle, for demo and check.

`samples.npz` of a bundle with one input has the arrays `clean` and `corrupted` (n, *shape). With named inputs it has
`clean.NAME` and `corrupted.NAME` (n, *shape) for each: strings in fixed-width Unicode, a free axis padded to one
length.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import SAMPLES_FILE, Bundle
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows, RowsT_co
from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import Served
from harmgauge.errors import BundleError

MAX_UNPACKED_BYTES = 2**28

_REMEDY = "build the bundle again, with other --samples"


@dataclass(frozen=True)
class Samples(Generic[RowsT_co]):
    """`clean` and `corrupted` are n instances before and after corruption; `y` (n,) are labels or None.

    `inputs` describes rows by name; None for arrays.
    """

    clean: RowsT_co
    corrupted: RowsT_co
    y: npt.NDArray[np.int64] | None
    inputs: NamedInputs | None = None


def read_samples(bundle: Bundle) -> Samples[Array]:
    """The samples of a bundle with one array of numbers. Raises BundleError if it has no valid ones."""
    found = read_any_samples(bundle)
    if isinstance(found.clean, NamedRows) or isinstance(found.corrupted, NamedRows):
        raise BundleError(f"{bundle.path}: the inputs have names; expected one array of numbers")
    return Samples(found.clean, found.corrupted, found.y)


def read_any_samples(bundle: Bundle) -> Samples[AnyRows]:
    """Raises BundleError if the bundle has no valid samples."""
    if SAMPLES_FILE not in bundle.manifest.files:
        raise BundleError(f"{bundle.path} contains no {SAMPLES_FILE}: build it with --samples")
    file = bundle.path / SAMPLES_FILE
    served = bundle.manifest.served
    try:
        arrays = read_npz(io.BytesIO(bundle.read(SAMPLES_FILE)), MAX_UNPACKED_BYTES)
        clean, corrupted = (read_rows(arrays, name, served) for name in ("clean", "corrupted"))
    except (ValueError, KeyError) as error:
        raise BundleError(f"{file} contains no readable arrays 'clean' and 'corrupted' ({error}): {_REMEDY}") from error
    y, rows = arrays.get("y"), len(clean)
    if not rows or len(corrupted) != rows:
        raise BundleError(f"{file}: clean and corrupted must have the same number of rows, at least one: {_REMEDY}")
    if y is not None and (y.shape != (rows,) or y.dtype.kind not in "iu"):
        raise BundleError(f"{file}: 'y' must have one whole number for each of the {rows} samples: {_REMEDY}")
    return Samples(clean, corrupted, y, served if isinstance(served, NamedInputs) else None)


def read_rows(arrays: Mapping[str, Array], name: str, served: Served) -> AnyRows:
    """The rows called `name` in an `.npz`: one array, or with named inputs the arrays `name.INPUT`.

    Raises ValueError or KeyError.
    """
    if isinstance(served, NamedInputs):
        prefix = f"{name}."
        rows = served.rows({key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)})
        served.check(rows)
        return rows
    found = arrays[name]
    if found.shape[1:] != served.shape or not found.ndim or found.dtype != served.numpy_dtype:
        raise ValueError(f"{name!r} must be {served.dtype} (n, *{served.shape})")
    return found


def named_arrays(rows: AnyRows, name: str, served: Served) -> dict[str, Array]:
    """The inverse of `read_rows`."""
    if isinstance(served, NamedInputs):
        assert not isinstance(rows, np.ndarray)
        return {f"{name}.{key}": array for key, array in served.arrays(rows).items()}
    assert isinstance(rows, np.ndarray)
    return {name: rows}
