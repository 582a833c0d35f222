"""What a bundle's graph gives for pictures, clean and corrupted: all that the evaluation needs of them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.load import DETECTOR_FILE, Bundle
from harmgauge.inference.providers import usable_cores
from harmgauge_models.data.corruptions import Images, benchmark
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.pictures import Pictures, instances
from harmgauge_models.evaluation.work import Arrays, Work, sha256_of
from harmgauge_models.graphs.run import open_session

Float64 = npt.NDArray[np.float64]

SCORES = {"score": "harmgauge", "entropy": "entropy", "doubt": "1 - max probability"}
"""The bundle's score and what costs nothing: both others are of the classifier's distribution alone."""

BATCH_ROWS = 64
CLEAN = ("clean", 0)

FORMAT = 1
"""Raised when the kept outputs change their meaning."""


@dataclass(frozen=True)
class Measured:
    """Of n rows: each of SCORES (n,), the `predictions` (n,), where offered those `corrected` (n,) and the `features`
    (n, d) float32.
    """

    scores: dict[str, Float64]
    predictions: npt.NDArray[np.int64]
    corrected: npt.NDArray[np.int64] | None
    features: npt.NDArray[np.float32] | None


class Graph:
    """The bundle's graph on the CPU, for rows by the thousand.

    A run uses one thread, and as many go side by side as there are cores: threads of one run wait for each other
    wherever a core is busy with something else.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._session = open_session(bundle.graph, threads=1)
        given = {output.name for output in self._session.get_outputs()}
        self.optional = tuple(name for name in ("features", "corrected_probabilities") if name in given)

    def run(self, rows: npt.NDArray[Any], *, features: bool = True) -> Arrays:
        """The arrays of `measured` for instances (n, *shape); raises UserError where a score is not finite."""
        wanted = ["score", "probabilities", *(name for name in self.optional if features or name != "features")]
        batches = [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]
        with ThreadPoolExecutor(usable_cores()) as threads:
            parts = list(threads.map(lambda batch: self._session.run(wanted, {"input": batch}), batches))
        outputs = {name: np.concatenate(column) for name, column in zip(wanted, zip(*parts, strict=True), strict=True)}
        if not np.isfinite(outputs["score"]).all():
            bad = int(np.flatnonzero(~np.isfinite(outputs["score"]))[0])
            raise UserError(f"the score of row {bad} is {outputs['score'][bad]}: the bundle cannot be judged")
        return self._arrays(outputs)

    def _arrays(self, outputs: Arrays) -> Arrays:
        probabilities = outputs["probabilities"].astype(np.float64)
        kept: Arrays = {
            "score": outputs["score"],
            "entropy": -(probabilities * np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))).sum(1),
            "doubt": 1 - probabilities.max(1),
            "predictions": probabilities.argmax(1),
        }
        if "corrected_probabilities" in outputs:
            flagged = outputs["score"] > self._bundle.threshold
            kept["corrected"] = np.where(flagged, outputs["corrected_probabilities"].argmax(1), kept["predictions"])
        if "features" in outputs:
            kept["features"] = outputs["features"]
        return kept


def measure(
    bundle: Bundle,
    pictures: Pictures,
    corrupted: dict[str, Images],
    severities: Iterable[int],
    work: Work,
    *,
    seed: int,
    features_of: int,
) -> dict[tuple[str, int], Measured]:
    """By kind and severity, and CLEAN; `corrupted` is as the benchmark makes it.

    Features are kept of the clean pictures and of the severity `features_of`. Shows progress.
    """
    graph = Graph(bundle)
    origin = {
        "format": [FORMAT, benchmark.FORMAT],
        "graph": bundle.manifest.files[DETECTOR_FILE].sha256,
        "threshold": float(bundle.threshold),
        "pictures": sha256_of(pictures.x),
        "seed": seed,
    }
    wanted = [CLEAN, *((kind, severity) for severity in severities for kind in corrupted)]
    found = {}
    for kind, severity in tqdm(wanted, desc="score"):
        x = pictures.x if (kind, severity) == CLEAN else corrupted[kind][severity - 1]
        features = severity in (CLEAN[1], features_of)
        arrays = work.kept(
            f"outputs/{kind}-{severity}",
            origin | {"features": features},
            lambda x=x, features=features: graph.run(instances(x, bundle.manifest.input), features=features),  # type: ignore[misc]
        )
        found[kind, severity] = measured(arrays)
    return found


def measured(arrays: Arrays) -> Measured:
    """What `Graph.run` gave."""
    scores = {name: arrays[name].astype(np.float64) for name in SCORES}
    return Measured(scores, arrays["predictions"], arrays.get("corrected"), arrays.get("features"))
