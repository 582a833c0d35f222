"""The instances that a bundle carries for demo and check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.errors import BundleError
from service.inference.bundle import SAMPLES_FILE, Bundle
from service.inference.runtime import Rows


@dataclass(frozen=True)
class Samples:
    """`clean` (n, *shape), `corrupted` (n, *shape): the same instances before and after; `y` (n,) labels or None."""

    clean: Rows
    corrupted: Rows
    y: npt.NDArray[np.int64] | None


def read_samples(bundle: Bundle) -> Samples:
    """Raises BundleError where the bundle carries none."""
    if SAMPLES_FILE not in bundle.manifest.files:
        raise BundleError(f"{bundle.path} carries no {SAMPLES_FILE}: build it with --samples")
    with np.load(bundle.path / SAMPLES_FILE, allow_pickle=False) as arrays:
        return Samples(arrays["clean"], arrays["corrupted"], arrays.get("y"))
