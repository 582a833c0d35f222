"""Rows of any length: which axes of a graph's inputs are free, how shorter rows are padded, and which ids exist."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import onnx
import onnxruntime as ort

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records
from harmgauge_models.graphs.run import open_session

COMPARED_ROWS = 8
TOLERANCE = 1e-3

USUAL_MAXIMUM = 512
"""Rows may be longer than those of the data, up to this length, if the graph accepts it."""

_PASSING = {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Clip"}
"""Operators that may occur between ids and the table that they index."""


def with_lengths(model: onnx.ModelProto, inputs: Sequence[Input], x: Array, scores: str) -> tuple[Input, ...]:
    """The inputs of `model` with free axes, if padding does not change its output `scores`.

    `x` are records padded to one width. If padding changes the scores, the axes get the width of `x`, in `model` too.
    """
    free = _free(model, inputs, x)
    found = tuple(_with_vocabulary(model, taken) for taken in inputs)
    if not free:
        return found
    if not _padding_is_harmless(model, x, scores):
        for value in model.graph.input:
            if value.name in free:
                dimension = value.type.tensor_type.shape.dim[1]
                dimension.dim_value = x.dtype[value.name].shape[0]
        return found
    maximum = _maximum(model, x, free, scores)
    pads = {name: _padding(x, name) for name in free}
    return tuple(
        taken
        if taken.name not in free
        else taken.model_copy(update={"shape": (None,), "maximum": maximum, "pad_value": pads[taken.name]})
        for taken in found
    )


def padded(x: Array, width: int, inputs: Sequence[Input]) -> Array:
    """Records whose free axes are padded to `width`."""
    arrays = {}
    for name in records.fields(x):
        values = x[name]
        taken = next((taken for taken in inputs if taken.name == name and None in taken.shape), None)
        if taken is not None and values.shape[1] < width:
            filling = np.full((len(values), width - values.shape[1]), taken.pad_value or 0, values.dtype)
            values = np.concatenate([values, filling], axis=1)
        arrays[name] = values
    return records.make_records(arrays)


def _free(model: onnx.ModelProto, inputs: Sequence[Input], x: Array) -> set[str]:
    """The inputs of one axis of any length, if one of them marks padding."""
    mask = records.mask_field(x)
    declared = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    free = {
        taken.name
        for taken in inputs
        if taken.dtype != "string" and len(taken.shape) == 1 and not declared[taken.name][1].dim_value
    }
    widths = {x.dtype[name].shape for name in free}
    return free if mask in free and len(widths) == 1 else set()


def _padding_is_harmless(model: onnx.ModelProto, x: Array, scores: str) -> bool:
    """Whether short rows have the same scores alone and beside longer rows."""
    lengths = records.row_lengths(x)
    assert lengths is not None
    order = np.argsort(lengths, kind="stable")
    picked = order[np.unique(np.linspace(0, len(order) - 1, COMPARED_ROWS).astype(int))]
    session = open_session(model.SerializeToString())
    (together,) = _run(session, scores, x[picked])
    for place, row in enumerate(picked):
        (alone,) = _run(session, scores, x[row : row + 1])
        if not np.allclose(together[place], alone[0], rtol=TOLERANCE, atol=TOLERANCE * float(np.abs(together).max())):
            return False
    return True


def _run(session: ort.InferenceSession, scores: str, x: Array) -> list[Array]:
    try:
        return records.run(session, [scores], x)
    except Exception as error:
        raise UserError(f"the network fails on rows of different lengths: {error}") from error


def _maximum(model: onnx.ModelProto, x: Array, free: set[str], scores: str) -> int:
    """USUAL_MAXIMUM if the graph accepts rows of that length, otherwise the width of `x`."""
    (width,) = x.dtype[next(iter(free))].shape
    if width >= USUAL_MAXIMUM:
        return int(width)
    session = open_session(model.SerializeToString())
    feed = records.feeds(x[:1], session.get_inputs())
    for name in free:
        repeated = np.resize(feed[name], (1, USUAL_MAXIMUM))
        feed[name] = np.ones_like(repeated) if name == records.mask_field(x) else repeated
    with suppress(Exception):  # ONNX Runtime's errors share no base class below Exception
        session.run([scores], feed)
        return USUAL_MAXIMUM
    return int(width)


def _padding(x: Array, name: str) -> float:
    """The value of a field in the padding of `x`; 0 if no row is padded."""
    lengths = records.row_lengths(x)
    assert lengths is not None
    values = x[name]
    after = values[np.arange(values.shape[1]) >= lengths[:, None]]
    found, counts = np.unique(after, return_counts=True)
    return float(found[counts.argmax()]) if len(found) else 0.0


def _with_vocabulary(model: onnx.ModelProto, taken: Input) -> Input:
    if np.dtype("O" if taken.dtype == "string" else taken.dtype).kind not in "iu":
        return taken
    size = _vocabulary_size(model, taken.name)
    return taken if size is None else taken.model_copy(update={"vocabulary_size": size})


def _vocabulary_size(model: onnx.ModelProto, name: str) -> int | None:
    """The smallest number of rows of the tables that an input indexes; None if it indexes none that is stored."""
    stored = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    ids = {name}
    sizes = []
    for node in model.graph.node:
        if node.op_type in _PASSING and node.input[0] in ids:
            ids.update(node.output)
        elif node.op_type == "DequantizeLinear" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
        elif node.op_type == "Gather" and node.input[1] in ids and node.input[0] in stored and _axis(node) == 0:
            sizes.append(int(stored[node.input[0]][0]))
    return min(sizes, default=None)


def _axis(node: onnx.NodeProto) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 0)
