"""The sample instances in a bundle, for demo and check."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import SAMPLES_FILE, Bundle
from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Rows
from harmgauge.errors import BundleError

MAX_UNPACKED_BYTES = 2**28

_REMEDY = "build the bundle again, with other --samples"


@dataclass(frozen=True)
class Samples:
    """`clean` (n, *shape) and `corrupted` (n, *shape) are the same instances before and after corruption; `y` (n,) are
    labels or None.
    """

    clean: Rows
    corrupted: Rows
    y: npt.NDArray[np.int64] | None


def read_samples(bundle: Bundle) -> Samples:
    """Raises BundleError if the bundle has no valid samples."""
    if SAMPLES_FILE not in bundle.manifest.files:
        raise BundleError(f"{bundle.path} contains no {SAMPLES_FILE}: build it with --samples")
    file = bundle.path / SAMPLES_FILE
    try:
        arrays = read_npz(io.BytesIO(bundle.read(SAMPLES_FILE)), MAX_UNPACKED_BYTES)
        samples = Samples(arrays["clean"], arrays["corrupted"], arrays.get("y"))
    except (ValueError, KeyError) as error:
        raise BundleError(f"{file} contains no readable arrays 'clean' and 'corrupted' ({error}): {_REMEDY}") from error
    spec, rows = bundle.manifest.input, len(samples.clean)
    for part in (samples.clean, samples.corrupted):
        if part.shape != (rows, *spec.shape) or part.dtype != spec.numpy_dtype or not rows:
            raise BundleError(f"{file}: clean and corrupted must both be {spec.dtype} (n, *{spec.shape}): {_REMEDY}")
    if samples.y is not None and (samples.y.shape != (rows,) or samples.y.dtype.kind not in "iu"):
        raise BundleError(f"{file}: 'y' must have one whole number for each of the {rows} samples: {_REMEDY}")
    return samples
