"""Makes a graph that was exported for a fixed number of rows accept any number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import free_rows
from harmgauge_models.graphs.normal_form.one_by_one import ROWS, SCORES, one_by_one
from harmgauge_models.graphs.records import are_records
from harmgauge_models.graphs.run import predict_all

DATA = "the data"
COMPARED_ROWS = 4
TOLERANCE = 1e-3
"""Rounding difference allowed between rows run together and rows run alone, relative to the largest score."""


@dataclass(frozen=True)
class Freed:
    """`model` accepts any number of rows through `inputs`; `scores` has its outputs for the rows it was tested on."""

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    scores: Mapping[str, Array]
    changed: bool
    notes: tuple[str, ...] = ()


def freed(model: onnx.ModelProto, taken: Sequence[str], outputs: Sequence[str], rows: Array, what: str) -> Freed:
    """Make `model` accept any number of rows through all inputs `taken`: along their first axis if that reproduces the
    scores of single rows, otherwise one by one.

    Raises UserError if neither works.
    """
    declared_rows = _declared_rows(model, taken)
    original = onnx.ModelProto()
    original.CopyFrom(model)
    changed = free_rows(model, [*taken, *(value.name for value in model.graph.output)])
    graph = serialised(model, what)
    try:
        scores = predict_all(graph, rows, DATA, outputs)
    except UserError as error:
        return _alone(original, taken, outputs, rows, what=what, error=error)
    wrong = next((name for name, values in scores.items() if len(values) != len(rows)), None)
    if wrong is not None and len(outputs) == 1:
        shape = scores[wrong].shape
        problem = UserError(f"its output {wrong!r} is {shape} for {len(rows)} rows; expected (n, classes)")
        return _alone(original, taken, outputs, rows, what=what, error=problem)
    if declared_rows == 1 and not _as_alone(original, scores, rows, what):
        apart = UserError("rows in one batch change each other's scores")
        return _alone(original, taken, outputs, rows, what=what, error=apart)
    return Freed(
        model, tuple(taken), {name: values for name, values in scores.items() if len(values) == len(rows)}, changed
    )


def serialised(model: onnx.ModelProto, what: str) -> bytes:
    """The model's bytes. Raises UserError if the model is too large for an ONNX file."""
    try:
        data: bytes = model.SerializeToString()
    except Exception as error:  # protobuf's, beyond 2 GB
        raise UserError(f"{what} is too large for one graph ({error}): at most 2 GB, weights included") from error
    return data


def _declared_rows(model: onnx.ModelProto, taken: Sequence[str]) -> int:
    """The number of rows that the graph was exported for; 0 for any number."""
    return max(
        (value.type.tensor_type.shape.dim[0].dim_value for value in model.graph.input if value.name in taken), default=0
    )


def _alone(
    model: onnx.ModelProto, taken: Sequence[str], outputs: Sequence[str], rows: Array, *, what: str, error: UserError
) -> Freed:
    """Run the graph one row at a time, if it accepts one row; otherwise raises UserError with the reason of `error`."""
    graph = serialised(model, what)
    try:
        first = [predict_all(graph, rows[index : index + 1], DATA, outputs) for index in range(COMPARED_ROWS)]
    except UserError:
        declared_rows = _declared_rows(model, taken)
        if declared_rows > 1:
            raise UserError(
                f"{what} was exported for {declared_rows} rows at a time and fails with any other number "
                f"({error}): export it with a dynamic first axis"
            ) from error
        raise UserError(f"{what}: {error}") from error
    if len(taken) > 1 or are_records(rows):
        raise UserError(f"{what} cannot run on more than one row ({error}): export it with a dynamic first axis")
    if len(outputs) > 1:
        raise UserError(
            f"{what} runs one row at a time and has outputs {list(outputs)}: name the one with the class scores"
        )
    name = outputs[0]
    made = one_by_one(model, taken[0], name, rows.shape[1:])
    scores = predict_all(serialised(made, what), rows, DATA, [SCORES])[SCORES]
    expected = np.stack([one[name].reshape(-1) for one in first])
    if scores.shape[1:] != expected.shape[1:] or not _close(scores[: len(expected)], expected):
        raise UserError(f"{what} cannot run on more than one row ({error}): export it with a dynamic first axis")
    note = (
        f"{what} runs one row at a time: batches save nothing, and its internal tensors cannot be read (no head, no "
        "features); export it with a dynamic first axis for those"
    )
    return Freed(made, (ROWS,), {SCORES: scores}, True, (note,))


def _as_alone(model: onnx.ModelProto, scores: Mapping[str, Array], rows: Array, what: str) -> bool:
    """Whether the scores of the first rows equal those of the graph, as exported, for each row alone."""
    graph = serialised(model, what)
    for index in range(min(COMPARED_ROWS, len(rows))):
        alone = predict_all(graph, rows[index : index + 1], DATA, list(scores))
        if any(not _close(scores[name][index].reshape(-1), alone[name].reshape(-1)) for name in scores):
            return False
    return True


def _close(some: Array, others: Array) -> bool:
    if some.shape != others.shape:
        return False
    finite = others[np.isfinite(others)]
    most = float(np.abs(finite.astype(np.float64)).max()) if finite.size else 1.0
    return bool(np.allclose(some, others, rtol=TOLERANCE, atol=TOLERANCE * max(most, 1e-6), equal_nan=True))
