"""Runs an ONNX file on many rows, offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tqdm import tqdm

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records

TOKENS = 8192
"""Number of tokens in a batch: attention needs memory for the square of a row's length."""


def open_session(model: Path | bytes, threads: int = 0) -> ort.InferenceSession:
    """A session on the CPU; 0 threads means one per core. Raises UserError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised, and would be reported twice
    # Threads that spin while they wait would take cores from other work, such as a training
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class below Exception
        raise UserError(
            f"ONNX Runtime cannot load {model if isinstance(model, Path) else 'the graph'}: {one_line(error)}"
        ) from error


def predict(model: Path | bytes, x: Array, what: str, output: str | None = None, batch_rows: int = 256) -> Array:
    """Run the model on all rows of `x` and return one output (the first by default); shows progress as `what`."""
    (found,) = _predicted(model, x, what, None if output is None else [output], batch_rows)[:1]
    return found


def predict_all(
    model: Path | bytes, x: Array, what: str, outputs: Sequence[str], batch_rows: int = 256
) -> dict[str, Array]:
    """Like `predict`, for several named outputs. Raises UserError."""
    return dict(zip(outputs, _predicted(model, x, what, list(outputs), batch_rows), strict=True))


def _predicted(model: Path | bytes, x: Array, what: str, outputs: list[str] | None, batch_rows: int) -> list[Array]:
    session = open_session(model)
    names = outputs or [session.get_outputs()[0].name]
    shown = tqdm(total=len(x), desc=what, leave=False, disable=len(x) < 20 * batch_rows)
    with shown:
        return run_batches(session, names, x, f"the network fails on {what}", batch_rows, progress=shown)


def run_batches(
    session: ort.InferenceSession,
    outputs: Sequence[str],
    x: Array,
    fails: str,
    batch_rows: int,
    *,
    progress: tqdm[Any] | None = None,
) -> list[Array]:
    """The `outputs` (n, ...) for all rows `x`; records run in batches of similar lengths.

    Raises UserError, whose message begins with `fails`.
    """
    order = records.by_length(x)
    parts: list[list[Array]] = []
    for some in _batches(x, order, batch_rows):
        batch = x[some]
        try:
            found = records.run(session, outputs, batch)
        except Exception as error:  # ONNX Runtime's errors share no base class below Exception
            raise UserError(f"{fails} ({described(x)}): {one_line(error)}") from error
        parts.append([np.atleast_1d(values) for values in found])
        if progress is not None:
            progress.update(len(batch))
    return [_joined(name, column, order, fails) for name, column in zip(outputs, zip(*parts, strict=True), strict=True)]


def _batches(x: Array, order: npt.NDArray[np.intp] | None, batch_rows: int) -> Iterator[slice | npt.NDArray[np.intp]]:
    """The rows of each batch: those of long records are smaller."""
    lengths = records.row_lengths(x)
    start = 0
    while start < len(x):
        stop = min(start + batch_rows, len(x))
        if lengths is not None:
            # Rows are in ascending order of length, so the last one is the longest.
            while (
                stop > start + 1 and (stop - start) * lengths[stop - 1 if order is None else order[stop - 1]] > TOKENS
            ):
                stop = start + (stop - start) // 2
        yield slice(start, stop) if order is None else order[start:stop]
        start = stop


def _joined(name: str, parts: Sequence[Array], order: npt.NDArray[np.intp] | None, fails: str) -> Array:
    """The parts of one output in the order of the rows. Raises UserError if its shape depends on the rows' lengths."""
    try:
        joined = np.concatenate(parts)
    except ValueError as error:
        shapes = sorted({str(part.shape[1:]) for part in parts})
        raise UserError(
            f"{fails}: the output {name!r} has the shapes {' and '.join(shapes[:2])} for rows of different lengths; "
            "expected scores of the whole row"
        ) from error
    if order is None or len(joined) != len(order):
        return joined
    placed = np.empty_like(joined)
    placed[order] = joined
    return placed


def described(x: Array) -> str:
    """The form of rows in messages."""
    if not records.are_records(x):
        return f"rows of {x.dtype} {x.shape[1:]}"
    return f"rows of {', '.join(records.fields(x)[:5])}{', ...' if len(records.fields(x)) > 5 else ''}"


def one_line(error: Exception) -> str:
    """ONNX Runtime's message, which often has several lines, as one line."""
    return " ".join(str(error).split())


def accuracy(outputs: Array, y: npt.NDArray[np.int64]) -> float:
    return float((np.asarray(outputs).argmax(1) == y).mean())
