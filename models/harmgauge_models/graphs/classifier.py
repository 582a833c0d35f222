"""A classifier as an ONNX file: what it takes, what it gives, and whether we can work with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from harmgauge.bundle.part import Dtype
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import Gives, Network, free_rows, read
from harmgauge_models.graphs.run import predict


@dataclass(frozen=True)
class Classifier:
    """An ONNX network with its signature. `shape` is that of one instance, without the rows' axis.

    `runnable` takes any number of rows: the file as it is, or what was made of one with a fixed number.
    """

    path: Path
    runnable: Path | bytes
    network: Network
    dtype: Dtype
    shape: tuple[int, ...]
    classes: int


def open_classifier(
    path: Path, x: Array, role: str, output: str | None = None, gives: Gives | None = None
) -> Classifier:
    """Read the network `role` from `path` and look at what it gives for `x`, rows as its input has them.

    Raises UserError where it takes more than one input, does not take `x`, or gives no (n, classes) with two or more.
    """
    model = read(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise UserError(f"the {role} {path} takes {[value.name for value in inputs]}; export it with one input")
    dtype = _dtype(inputs[0], path)
    shape = _shape(inputs[0], x, path)
    rows = fit_rows(x, dtype, shape, f"the {role} {path}")
    name = output or _likely_output(model, role, path)
    fixed = free_rows(model, [inputs[0].name, *(value.name for value in model.graph.output)])
    runnable = model.SerializeToString() if fixed else path
    try:
        outputs = predict(runnable, rows, f"{role} on calibration rows", name)
    except UserError as error:
        if not fixed:
            raise
        raise UserError(
            f"the {role} {path} was exported for a fixed number of rows, and cannot take another ({error}): "
            "export it with a dynamic first axis"
        ) from error
    _check_classes(outputs, len(rows), name, role, path)
    known = gives or find_out(outputs)
    return Classifier(path, runnable, Network(model, inputs[0].name, name, known), dtype, shape, outputs.shape[1])


def fit_rows(x: Array, dtype: Dtype, shape: tuple[int, ...], what: str) -> Array:
    """`x` in the dtype that the network takes, where that changes no more than its precision."""
    if x.shape[1:] != shape:
        raise UserError(f"{what} takes rows of shape {shape}; the file has rows of shape {x.shape[1:]}")
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise UserError(f"{what} takes {dtype}; the file holds {x.dtype}: save x as {dtype}")
    rows = np.ascontiguousarray(x, dtype)
    if np.dtype(dtype).kind in "iu" and not np.array_equal(rows, x):
        raise UserError(
            f"{what} takes {dtype}, and the file holds values from {x.min()} to {x.max()}, beyond its range"
        )
    return rows


def find_out(outputs: Array) -> Gives:
    """`probabilities` where every row lies in 0..1 and sums to 1, else `logits`."""
    bounded = outputs.min() >= -1e-4 and outputs.max() <= 1 + 1e-4
    return "probabilities" if bounded and np.allclose(outputs.sum(1), 1, atol=1e-3) else "logits"


def distribution(outputs: Array, gives: Gives, temperature: float) -> npt.NDArray[np.float64]:
    """y ** (1 / T), renormalised, (n, classes) float64, by way of logarithms."""
    wide = outputs.astype(np.float64)
    with np.errstate(divide="ignore"):  # the log of 0 is -infinity, and its power 0 again
        log_y = (wide if gives == "logits" else np.log(np.maximum(wide, 0))) / temperature
    powers = np.exp(log_y - log_y.max(1, keepdims=True))
    return cast("npt.NDArray[np.float64]", powers / powers.sum(1, keepdims=True))


def _dtype(value: onnx.ValueInfoProto, path: Path) -> Dtype:
    element = value.type.tensor_type.elem_type
    if element in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise UserError(f"the input {value.name!r} of {path} is no numeric tensor; export it with one")
    name = str(helper.tensor_dtype_to_np_dtype(element))
    if name not in get_args(Dtype):
        raise UserError(f"the input {value.name!r} of {path} is {name}; one of {', '.join(get_args(Dtype))} is needed")
    return cast("Dtype", name)


def _shape(value: onnx.ValueInfoProto, x: Array, path: Path) -> tuple[int, ...]:
    dimensions = value.type.tensor_type.shape.dim
    if len(dimensions) != x.ndim:
        raise UserError(
            f"the input {value.name!r} of {path} has {len(dimensions)} axes, x has {x.ndim}; "
            "the first axis of both must be the rows"
        )
    declared = [dimension.dim_value or None for dimension in dimensions][1:]
    if any(size not in (None, given) for size, given in zip(declared, x.shape[1:], strict=True)):
        raise UserError(f"the input {value.name!r} of {path} takes rows of {declared}, x has rows of {x.shape[1:]}")
    return x.shape[1:]


def _likely_output(model: onnx.ModelProto, role: str, path: Path) -> str:
    """The only output of real numbers, or the one that is called probabilities or logits."""
    floats = [
        value.name
        for value in model.graph.output
        if value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
    ]
    named = [name for name in floats if any(word in name.lower() for word in ("logit", "prob", "softmax"))]
    for candidates in (floats, named):
        if len(candidates) == 1:
            return str(candidates[0])
    outputs = [value.name for value in model.graph.output]
    raise UserError(
        f"which output of the {role} {path} holds the class scores is not clear from {outputs}: name it with "
        f"--{role}-output (from skl2onnx, export with options={{'zipmap': False}})"
    )


def _check_classes(outputs: Array, rows: int, name: str, role: str, path: Path) -> None:
    if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
        raise UserError(
            f"the output {name!r} of the {role} {path} has one column. A divergence needs the whole distribution: "
            "export two columns, 1 - p and p"
        )
    if outputs.ndim != 2 or outputs.shape[0] != rows:
        raise UserError(
            f"the output {name!r} of the {role} {path} is {outputs.shape} for {rows} rows; (n, classes) is due"
        )
    if not np.isfinite(outputs).all():
        raise UserError(
            f"the {role} {path} gives NaN or infinity on the calibration data: look at the data and the export"
        )
