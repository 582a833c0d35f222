"""Reference data that recent traffic is compared with: scores of normal data, and features if the bundle has them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge.errors import BundleError

MIN_REFERENCE_ROWS = 100
MAX_FEATURES_ROWS = 1000
"""The time of a kernel test grows with the square of this number."""

PROBE = "probe."
"""Prefix of the arrays of a trial row with named inputs."""

MAX_UNPACKED_BYTES = 2**28
"""10 million scores take 80 MB."""


@dataclass(frozen=True)
class Reference:
    """`scores` (n,) float64, sorted, finite; `features` (m, d) float32, finite; for plots of the features, `embedding`
    (m, 2) float64, by Isomap with `neighbours` neighbours; `probe` (*shape) in the input's dtype, a row for a trial run
    if zeros are unsuitable, and for a bundle with named inputs an array (1, *shape) for each, by name. None for
    anything that the bundle lacks.
    """

    scores: npt.NDArray[np.float64]
    features: npt.NDArray[np.float32] | None = None
    embedding: npt.NDArray[np.float64] | None = None
    neighbours: int | None = None
    probe: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | None = None

    def npz(self) -> bytes:
        """The file's contents, in the format of `read_reference`."""
        stream = io.BytesIO()
        parts = dict(vars(self))
        if isinstance(self.probe, Mapping):
            parts |= {"probe": None} | {f"{PROBE}{name}": array for name, array in self.probe.items()}
        arrays = {name: np.asarray(value) for name, value in parts.items() if value is not None}
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()


def read_reference(file: Path, data: bytes) -> Reference:
    """Parse and validate the contents `data` of `file`; raises BundleError."""
    try:
        arrays = read_npz(io.BytesIO(data), MAX_UNPACKED_BYTES)
        scores = arrays["scores"]
    except (ValueError, KeyError) as error:
        raise BundleError(f"{file} contains no readable array 'scores' ({error})") from error
    if scores.dtype != np.float64 or scores.ndim != 1 or len(scores) < MIN_REFERENCE_ROWS:
        raise BundleError(
            f"{file}: 'scores' must be float64 of shape (n,), n >= {MIN_REFERENCE_ROWS}; "
            f"it is {scores.dtype} {scores.shape}"
        )
    if not np.isfinite(scores).all() or (np.diff(scores) < 0).any():
        raise BundleError(f"{file}: 'scores' must be finite and sorted")
    features, embedding = arrays.get("features"), arrays.get("embedding")
    probe = _probe(file, arrays)
    if features is None:
        return Reference(scores, probe=probe)
    _check_features(file, features)
    if embedding is None:
        return Reference(scores, features, probe=probe)
    return Reference(scores, features, embedding, _neighbours(file, arrays, len(features)), probe)


def _probe(file: Path, arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]] | None:
    probe, named = arrays.get("probe"), {name: array for name, array in arrays.items() if name.startswith(PROBE)}
    if probe is not None and probe.dtype.kind not in "iuf":
        raise BundleError(f"{file}: 'probe' must be numbers; it is {probe.dtype}")
    for name, array in named.items():
        if array.dtype.kind not in "iufU":
            raise BundleError(f"{file}: {name!r} must be numbers or Unicode strings; it is {array.dtype}")
    return {name.removeprefix(PROBE): array for name, array in named.items()} or probe


def _check_features(file: Path, features: npt.NDArray[Any]) -> None:
    rows = len(features) if features.ndim else 0
    if features.dtype != np.float32 or features.ndim != 2 or not MIN_REFERENCE_ROWS <= rows <= MAX_FEATURES_ROWS:
        raise BundleError(
            f"{file}: 'features' must be float32 of shape (m, d), m from {MIN_REFERENCE_ROWS} to "
            f"{MAX_FEATURES_ROWS}; it is {features.dtype} {features.shape}"
        )
    if not np.isfinite(features).all():
        raise BundleError(f"{file}: 'features' must be finite")


def _neighbours(file: Path, arrays: dict[str, npt.NDArray[Any]], rows: int) -> int:
    embedding, neighbours = arrays["embedding"], arrays.get("neighbours", np.array(0))
    if embedding.dtype != np.float64 or embedding.shape != (rows, 2) or not np.isfinite(embedding).all():
        raise BundleError(
            f"{file}: 'embedding' must be float64 of shape ({rows}, 2) and finite; "
            f"it is {embedding.dtype} {embedding.shape}"
        )
    if neighbours.shape or neighbours.dtype.kind != "i" or not 1 <= neighbours < rows:
        raise BundleError(f"{file}: 'neighbours' must be a whole number from 1 to {rows - 1}")
    return int(neighbours)
