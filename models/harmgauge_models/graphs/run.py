"""Runs an ONNX file on many rows, offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tqdm import tqdm

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError


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
    name = session.get_inputs()[0].name
    names = outputs or [session.get_outputs()[0].name]
    parts: list[list[Array]] = []
    for start in tqdm(range(0, len(x), batch_rows), desc=what, leave=False, disable=len(x) < 20 * batch_rows):
        try:
            found = session.run(names, {name: x[start : start + batch_rows]})
        except Exception as error:
            raise UserError(
                f"the network fails on {what} (rows of {x.dtype} {x.shape[1:]}): {one_line(error)}"
            ) from error
        parts.append([np.atleast_1d(values) for values in found])
    return [np.concatenate(of_one) for of_one in zip(*parts, strict=True)]


def one_line(error: Exception) -> str:
    """ONNX Runtime's message, which often has several lines, as one line."""
    return " ".join(str(error).split())


def accuracy(outputs: Array, y: npt.NDArray[np.int64]) -> float:
    return float((np.asarray(outputs).argmax(1) == y).mean())
