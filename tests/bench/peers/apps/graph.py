"""The default bundle's graph for the peers: the session options, decoding and answer that they all share."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

GRAPH, THRESHOLD = "BENCH_GRAPH", "BENCH_THRESHOLD"
"""Environment variables: the path of the ONNX file, and the threshold of its scores."""

Rows = npt.NDArray[np.uint8]


class Graph:
    """One session, as `harmgauge.inference.runtime.OnnxRuntime` opens it on CPUs."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = ort.InferenceSession(os.environ[GRAPH], options, providers=["CPUExecutionProvider"])
        [self._input] = self._session.get_inputs()
        self._threshold = np.float32(os.environ[THRESHOLD])
        self.row_shape: tuple[int, ...] = tuple(self._input.shape[1:])

    def run(self, rows: Rows) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Scores (n,) and probabilities (n, classes) of rows (n, *row_shape). All outputs are computed, as by us."""
        names = [output.name for output in self._session.get_outputs()]
        outputs = dict(zip(names, self._session.run(names, {self._input.name: rows}), strict=True))
        return outputs["score"], outputs["probabilities"]

    def answer(self, rows: Rows) -> dict[str, Any]:
        """Scores, flags and predictions: less than harmgauge's answer."""
        scores, probabilities = self.run(rows)
        return {
            "scores": scores.tolist(),
            "is_adversarial": (scores > self._threshold).tolist(),
            "predictions": probabilities.argmax(axis=1).tolist(),
        }

    def from_raw(self, body: bytes) -> Rows:
        return np.frombuffer(body, np.uint8).reshape(-1, *self.row_shape)

    def from_json(self, document: dict[str, Any]) -> Rows:
        return np.array(document["instances"], np.uint8)
