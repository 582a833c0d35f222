"""Disturbed training rows and the classifier's outputs for them, all created before a second network is trained.

Each is created once and used several times, because the classifier may cost more than the training.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor
from tqdm import tqdm

from harmgauge.bundle.rows import Array
from harmgauge_models.data.disturber import Disturber
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.hidden_layers import with_outputs
from harmgauge_models.graphs.run import open_session, run_batches

MOST_ROWS = 200_000
MOST_BYTES = 2**28
"""Limit on the bytes of disturbed rows and of the tensors read from them."""

CLASSIFIER_SECONDS = 30.0
"""Approximate time limit of the classifier on disturbed rows."""

TIMED_ROWS = 256
MIN_COPIES = 4
MOST_TRAINING_ROWS = 50_000

BATCH_VALUES = 2**18
"""Number of values in the rows that run through the classifier at once: each takes up to a few thousand bytes."""


class Reader:
    """Reads a second network's inputs: the `row` (without `row_values`, only how unusual it is), `features`, and the
    classifier's output.

    Both are names of tensors of the classifier, None for none; the row may be its only input. Each is float32 and flat,
    (n, width).
    """

    def __init__(
        self, classifier: Classifier, features: str | None, *, row: str | None, row_values: bool = True
    ) -> None:
        network = classifier.network
        self.row, self.row_values, self.features = row, row_values, features
        self.inside = [*(name for name in (row, features) if name is not None), network.output]
        self._outputs = [name for name in self.inside if name not in network.inputs]
        added = self._outputs[:-1]
        model = with_outputs(classifier, added).SerializeToString() if added else classifier.runnable
        self._session: ort.InferenceSession = open_session(model)

    def raw(self, x: Array) -> list[Array]:
        """The inputs in their own dtypes and shapes. Raises UserError if the classifier cannot run on the rows."""
        batch_rows = min(1024, max(8, BATCH_VALUES // max(math.prod(x.shape[1:]), 1)))
        fails = "the classifier fails on disturbed rows"
        outputs = run_batches(self._session, self._outputs, x, fails, batch_rows)
        return outputs if len(outputs) == len(self.inside) else [x, *outputs]

    def read(self, x: Array) -> list[Tensor]:
        """The second network's inputs for rows `x` (n, *shape)."""
        return [torch.from_numpy(tensor.reshape(len(x), -1).astype(np.float32)) for tensor in self.raw(x)]


@dataclass(frozen=True)
class DisturbedRows:
    """`clean` has the tensors of n rows, `disturbed` those of `copies` disturbed copies of each, copy by copy. `tags`
    (copies x n, 2) are those of a `Disturber`.
    """

    clean: list[Tensor]
    disturbed: list[Tensor]
    tags: npt.NDArray[np.int8]
    copies: int

    @property
    def rows(self) -> int:
        return len(self.clean[0])


def enough(x: Array, reader: Reader, seed: int) -> npt.NDArray[np.intp]:
    """Indices of the training rows `x` (n, *shape) to use: all of them, or a random sample if there is not enough
    memory.
    """
    most = min(MOST_TRAINING_ROWS, max(1000, MOST_BYTES // (MIN_COPIES * _row_bytes(reader.read(x[:2])))))
    return np.sort(np.random.default_rng(seed).permutation(len(x))[:most])


def make(
    x: Array, disturber: Disturber, reader: Reader, *, seed: int, work: Path | None, most_rows: int = MOST_ROWS
) -> DisturbedRows:
    """Disturbed copies of training rows `x` (n, *shape), about `most_rows` at most; their number depends on the
    classifier's run time.

    That number is kept in `work`, so that a resumed run gets the same rows. Raises UserError.
    """
    clean = reader.read(x)
    copies = _copies(x, clean, reader, work, most_rows)
    disturbed: list[list[Tensor]] = []
    tags = []
    random = np.random.default_rng((seed, copies))
    for _ in tqdm(range(copies), desc="disturbed rows", leave=False, disable=copies * len(x) < 20_000):
        rows, which = disturber(x, random)
        disturbed.append(reader.read(rows))
        tags.append(which)
    columns = [torch.cat(column) for column in zip(*disturbed, strict=True)]
    said = columns[-1]
    # For a row on which it overflows, its output is useless for training.
    torch.nan_to_num(said, nan=0.0, posinf=3e4, neginf=-3e4, out=said)
    return DisturbedRows(clean, columns, np.concatenate(tags), copies)


def _row_bytes(tensors: Sequence[Tensor]) -> int:
    return 4 * sum(tensor.shape[1] for tensor in tensors)


def _copies(x: Array, clean: Sequence[Tensor], reader: Reader, work: Path | None, most_rows: int) -> int:
    note = None if work is None else work / "copies.json"
    if note is not None and note.is_file():
        return int(json.loads(note.read_text())["copies"])
    began = time.process_time()
    timed = x[:TIMED_ROWS]
    reader.read(timed)
    seconds = max((time.process_time() - began) / len(timed), 1e-9)
    rows = min(most_rows, MOST_ROWS, MOST_BYTES // _row_bytes(clean), CLASSIFIER_SECONDS / seconds)
    copies = max(MIN_COPIES, int(rows / len(x)))
    if note is not None:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"copies": copies}) + "\n")
    return copies
