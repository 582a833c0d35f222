"""Computes the outputs of a bundle's graph for clean and corrupted rows, in the form that the evaluation needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tqdm import tqdm

from harmgauge.bundle.load import DETECTOR_FILE, Bundle
from harmgauge.inference.providers import usable_cores
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.neighbours import Neighbours
from harmgauge_models.evaluation.work import Arrays, Work
from harmgauge_models.graphs.records import by_length, feeds
from harmgauge_models.graphs.run import open_session

Float64 = npt.NDArray[np.float64]

SCORES = {
    "score": "harmgauge",
    "entropy": "entropy",
    "doubt": "1 - max probability",
    "distance": "distance to neighbours",
}
"""The bundle's score and the baselines.

Two baselines use only the classifier's distribution and cost nothing; the distance to the nearest clean rows is omitted
if there are none.
"""

BATCH_ROWS = 64
MOST_CLASSES = 100
"""All probabilities of every copy are kept for classifiers with up to this many classes."""

CLEAN = ("clean", 0)

_QUIET = ort.RunOptions()
_QUIET.log_severity_level = 4  # errors are raised and need not be logged too

FORMAT = 2
"""Incremented when the meaning of stored outputs changes."""


@dataclass(frozen=True)
class Measured:
    """For n rows: the available SCORES (n,) and the `predictions` (n,).

    If the bundle provides them: the `corrected` predictions (n,), the `features` (n, d) float32, and the
    `error_probability` (n,) float32, together with the classifier's `probabilities` (n, classes) float32 unless it has
    more than MOST_CLASSES.
    """

    scores: dict[str, Float64]
    predictions: npt.NDArray[np.int64]
    corrected: npt.NDArray[np.int64] | None
    features: npt.NDArray[np.float32] | None
    error_probability: npt.NDArray[np.float32] | None = None
    probabilities: npt.NDArray[np.float32] | None = None


class Graph:
    """Runs the bundle's graph on the CPU, on thousands of rows at a time.

    Each run uses one thread, and there is one parallel run per core: the threads of a multi-threaded run would wait for
    each other whenever a core is busy with other work.
    """

    def __init__(self, bundle: Bundle, neighbours: Neighbours | None = None) -> None:
        self._bundle = bundle
        self._neighbours = neighbours
        self._session = open_session(bundle.graph, threads=1)
        given = {output.name for output in self._session.get_outputs()}
        offered = ["features", "corrected_probabilities"]
        if bundle.error_probability is not None:
            offered.append("error_probability")
        self.optional = tuple(name for name in offered if name in given)

    def takes(self, rows: npt.NDArray[Any]) -> bool:
        """Whether the graph returns finite numbers for instances (n, *shape)."""
        try:
            self.run(rows, features=False)
        except UserError:
            return False
        return True

    def run(self, rows: npt.NDArray[Any], *, features: bool = True) -> Arrays:
        """The arrays for `measured`, for instances (n, *shape); raises UserError if a score is not finite."""
        by_features = self._neighbours is not None and self._neighbours.on == "features"
        needed = [name for name in self.optional if features or by_features or name != "features"]
        wanted = ["score", "probabilities", *needed]
        order = by_length(rows)
        batches = [
            rows[start : start + BATCH_ROWS] if order is None else rows[order[start : start + BATCH_ROWS]]
            for start in range(0, len(rows), BATCH_ROWS)
        ]
        taken = self._session.get_inputs()
        with ThreadPoolExecutor(usable_cores()) as threads:
            try:
                parts = list(threads.map(lambda batch: self._session.run(wanted, feeds(batch, taken), _QUIET), batches))
            except Exception as error:  # ONNX Runtime's errors share no base class below Exception
                raise UserError(f"the bundle's graph fails on some of these rows: {error}") from error
        outputs = {name: np.concatenate(column) for name, column in zip(wanted, zip(*parts, strict=True), strict=True)}
        if order is not None:
            outputs = {name: values[np.argsort(order)] for name, values in outputs.items()}
        if not np.isfinite(outputs["score"]).all():
            bad = int(np.flatnonzero(~np.isfinite(outputs["score"]))[0])
            raise UserError(f"the score of row {bad} is {outputs['score'][bad]}: the bundle cannot be judged")
        kept = self._arrays(outputs)
        if self._neighbours is not None:
            kept["distance"] = self._neighbours.distances(outputs["features"] if by_features else rows)
        if not features:
            kept.pop("features", None)
        return kept

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
        if "error_probability" in outputs:
            kept["error_probability"] = outputs["error_probability"]
            if probabilities.shape[1] <= MOST_CLASSES:
                kept["probabilities"] = outputs["probabilities"]
        if "features" in outputs:
            kept["features"] = outputs["features"]
        return kept


Copy = tuple[str, int]
"""Kind of corruption and severity (0 for none); CLEAN for the unchanged rows."""


@dataclass(frozen=True)
class Copied:
    """Makes instances (n, *shape) when needed; `decided_by` is everything that determines them, as JSON.

    With `may_fail`, the copy is omitted if the graph returns no finite numbers for it.
    """

    make: Callable[[], npt.NDArray[Any]]
    decided_by: object = None
    may_fail: bool = False


def measure(
    bundle: Bundle,
    graph: Graph,
    copies: dict[Copy, Copied],
    origin: dict[str, Any],
    work: Work,
    *,
    features_of: int | None,
) -> dict[Copy, Measured]:
    """The graph's outputs for each of `copies`; `origin` (JSON) determines all of them.

    Features are kept for the clean rows and for the severity `features_of`. Shows progress.
    """
    decided_by = {
        "format": FORMAT,
        "graph": bundle.manifest.files[DETECTOR_FILE].sha256,
        "threshold": float(bundle.threshold),
    } | origin
    found = {}
    for (kind, severity), copied in tqdm(copies.items(), desc="score"):
        features = (kind, severity) == CLEAN or severity == features_of

        def outputs(copied: Copied = copied, *, features: bool = features) -> Arrays:
            return graph.run(copied.make(), features=features)

        name = work.file_name(kind)
        own = {"copy": [kind, severity], "made": copied.decided_by, "features": features}
        try:
            arrays = work.kept(f"outputs/{name}-{severity}", decided_by | own, outputs)
        except UserError as error:
            if copied.may_fail:
                continue
            raise UserError(f"{kind}{f' at severity {severity}' if severity else ''}: {error}") from error
        found[kind, severity] = measured(arrays)
    return found


def severities(found: Iterable[Copy]) -> tuple[int, ...]:
    """The severities of corrupted copies; 0, for copies without one, comes last."""
    levels = {severity for kind, severity in found if (kind, severity) != CLEAN}
    return tuple(sorted(levels, key=lambda severity: severity or 99))


def measured(arrays: Arrays) -> Measured:
    """The outputs of `Graph.run`."""
    scores = {name: arrays[name].astype(np.float64) for name in SCORES if name in arrays}
    others = ("corrected", "features", "error_probability", "probabilities")
    return Measured(scores, arrays["predictions"], **{name: arrays.get(name) for name in others})
