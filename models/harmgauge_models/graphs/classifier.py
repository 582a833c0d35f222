"""A classifier as an ONNX file: its input, its output, and whether harmgauge can use it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
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
from harmgauge_models.graphs.fuse import Gives, Network, read
from harmgauge_models.graphs.normal_form.any_rows import freed, serialised
from harmgauge_models.graphs.normal_form.class_labels import class_labels, label_counts
from harmgauge_models.graphs.normal_form.score_output import candidates
from harmgauge_models.graphs.normal_form.scores import Form, append, judge
from harmgauge_models.graphs.normal_form.tidy import drop_sequences, tidy


@dataclass(frozen=True)
class Classifier:
    """An ONNX network in normal form: one input, a first output (n, classes) float32, any number of rows. `shape` is
    the shape of one instance, without the row axis.

    `runnable` is the file itself if it is already in normal form. `labels` are the classes' names, if the file has
    them; `notes` describe the changes in sentences.
    """

    path: Path
    runnable: Path | bytes
    network: Network
    dtype: Dtype
    shape: tuple[int, ...]
    classes: int
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def open_classifier(
    path: Path, x: Array, role: str, output: str | None = None, gives: Gives | None = None
) -> Classifier:
    """Read the network `role` from `path` and inspect its outputs for `x`, which are rows in its input form.

    NaN in `x` is a missing value. Raises UserError if the network has more than one input or does not accept `x`, or if
    its output is not a distribution over two or more classes.
    """
    what = f"the {role} {path}"
    model = read(path)
    changed = tidy(model)
    taken = _only_input(model, what)
    dtype = _dtype(taken, path)
    changed |= _name_free_axes(taken, x)
    shape = _shape(taken, x, path)
    rows = fit_rows(x, dtype, shape, what)
    found = candidates(model, output, what, f"--{role}-output")
    labelled = onnx.ModelProto()
    labelled.CopyFrom(model)
    changed |= drop_sequences(model) | _expose(model, found)
    opened = freed(model, taken.name, found, rows, what)
    notes = list(opened.notes)
    name, form = _judged(opened.scores, gives, what, role)
    scores = opened.scores[name]
    check_finite(scores, rows, what)
    _check_label_count(labelled, form, name, what)
    normal = append(opened.model, name, scores, form)
    if form.columns == 1:
        meaning = "the probability" if form.gives == "probabilities" else "the logit"
        notes.append(f"{what} has one output column, which is treated as {meaning} of the second of two classes")
    if form.rescaled:
        notes.append(f"the output rows of {what} do not quite sum to 1; each is divided by its sum")
    same = not (changed or opened.changed) and normal == name
    network = Network(opened.model, opened.input, normal, form.gives)
    runnable = path if same else serialised(opened.model, what)
    return Classifier(
        path, runnable, network, dtype, shape, form.classes, class_labels(labelled, form.classes), tuple(notes)
    )


def fit_rows(x: Array, dtype: Dtype, shape: tuple[int, ...], what: str) -> Array:
    """Convert `x` to the network's input dtype, if that changes only its precision."""
    if x.shape[1:] != shape:
        raise UserError(f"{what} expects rows of shape {shape}; the file has rows of shape {x.shape[1:]}")
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise UserError(f"{what} expects {dtype}; the file holds {x.dtype}: save x as {dtype}")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(x, dtype)
    if x.dtype.kind == "f" and (far := np.isfinite(x) & ~np.isfinite(rows)).any():
        raise UserError(f"{what} expects {dtype}, but the file holds {x[far][0]:g}, beyond its range")
    if np.dtype(dtype).kind in "iu" and not np.array_equal(rows, x):
        raise UserError(
            f"{what} expects {dtype}, but the file holds values from {x.min()} to {x.max()}, beyond its range"
        )
    return rows


def distribution(outputs: Array, gives: Gives, temperature: float) -> npt.NDArray[np.float64]:
    """Compute y ** (1 / T), renormalised, (n, classes) float64, from logarithms."""
    wide = outputs.astype(np.float64)
    with np.errstate(divide="ignore"):  # the log of 0 is -infinity, and its exponential is 0 again
        log_y = (wide if gives == "logits" else np.log(np.maximum(wide, 0))) / temperature
    powers = np.exp(log_y - log_y.max(1, keepdims=True))
    return cast("npt.NDArray[np.float64]", powers / powers.sum(1, keepdims=True))


def _dtype(value: onnx.ValueInfoProto, path: Path) -> Dtype:
    element = value.type.tensor_type.elem_type
    if element in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise UserError(f"the input {value.name!r} of {path} is not a numeric tensor; export it as one")
    name = str(helper.tensor_dtype_to_np_dtype(element))
    if name not in get_args(Dtype):
        raise UserError(f"the input {value.name!r} of {path} is {name}; expected one of {', '.join(get_args(Dtype))}")
    return cast("Dtype", name)


def _shape(value: onnx.ValueInfoProto, x: Array, path: Path) -> tuple[int, ...]:
    dimensions = value.type.tensor_type.shape.dim
    if len(dimensions) != x.ndim:
        raise UserError(
            f"the input {value.name!r} of {path} has {len(dimensions)} axes, but x has {x.ndim}; "
            "the first axis of both must be the rows"
        )
    declared = [dimension.dim_value or None for dimension in dimensions][1:]
    if any(size not in (None, given) for size, given in zip(declared, x.shape[1:], strict=True)):
        raise UserError(
            f"the input {value.name!r} of {path} expects rows of {declared}, but x has rows of {x.shape[1:]}"
        )
    return x.shape[1:]


def check_finite(scores: Array, rows: Array, what: str, *, numbers: Array | None = None, of: str = "") -> None:
    """Raise UserError if any of `scores` (n, ...), the outputs of `what` for `rows` (n, *shape), is not finite.

    `numbers` (n,) are the rows' positions in the file `of`, if they are not 0, 1, ...
    """
    places = np.arange(len(rows)) if numbers is None else numbers
    named = f" of {of}" if of else ""
    bad = np.flatnonzero(~np.isfinite(scores.reshape(len(scores), -1)).all(1))
    if not len(bad):
        return
    flat = rows.reshape(len(rows), -1)
    missing = np.flatnonzero(np.isnan(flat[bad]).any(1)) if rows.dtype.kind == "f" else np.zeros(0, np.int64)
    if len(missing):
        row = int(bad[missing[0]])
        column = int(np.flatnonzero(np.isnan(flat[row]))[0])
        raise UserError(
            f"{what} does not accept missing values: it returns NaN for row {places[row]}{named}, whose column "
            f"{column} is NaN: fill them in as for its training (best inside the exported graph), or leave these rows "
            "out"
        )
    raise UserError(
        f"{what} returns NaN or infinity for the data, the first for row {places[bad[0]]}{named}: check the data "
        "and the export"
    )


def _only_input(model: onnx.ModelProto, what: str) -> onnx.ValueInfoProto:
    inputs: list[onnx.ValueInfoProto] = list(model.graph.input)
    if len(inputs) != 1:
        raise UserError(f"{what} has the inputs {[value.name for value in inputs]}; export it with one input")
    return inputs[0]


def _name_free_axes(value: onnx.ValueInfoProto, x: Array) -> bool:
    """Name an axis that the exporter declared as -1, or all axes if it declared no shape; returns whether it did
    either.
    """
    tensor = value.type.tensor_type
    if value.type.HasField("tensor_type") and not tensor.HasField("shape"):
        for index in range(x.ndim):
            tensor.shape.dim.add().dim_param = f"axis_{index}" if index else "n"
        return True
    changed = False
    for index, dimension in enumerate(tensor.shape.dim):
        if dimension.HasField("dim_value") and dimension.dim_value <= 0:
            dimension.dim_param = f"axis_{index}"
            changed = True
    return changed


def _expose(model: onnx.ModelProto, names: list[str]) -> bool:
    """Make these tensors outputs; returns whether any was not one before."""
    there = {value.name for value in model.graph.output}
    missing = [name for name in names if name not in there]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
    return bool(missing)


def _judged(scores: Mapping[str, Array], gives: Gives | None, what: str, role: str) -> tuple[str, Form]:
    """The name of the output that holds the class scores, and its form. Raises UserError if that is ambiguous."""
    if len(scores) == 1:
        ((name, only),) = scores.items()
        finite = only[np.isfinite(only.reshape(len(only), -1)).all(1)]
        return name, judge(finite if len(finite) else only, gives, f"the output {name!r} of {what}", role)
    forms: dict[str, Form] = {}
    for name, values in scores.items():
        with suppress(UserError):
            forms[name] = judge(values, gives, name, role)
    of_classes = {name: form for name, form in forms.items() if form.columns > 1}
    likely = [name for name, form in of_classes.items() if form.gives == "probabilities"]
    if len(of_classes) == 1:
        likely = list(of_classes)
    if len(likely) == 1:
        said = distribution(scores[likely[0]].reshape(len(scores[likely[0]]), -1), "probabilities", 1)
        for name, form in of_classes.items():
            if form.gives == "logits" and form.columns == said.shape[1]:
                softmax = distribution(scores[name].reshape(len(said), -1), "logits", 1)
                if np.allclose(softmax, said, atol=1e-3):  # logits contain more information than their softmax
                    return name, form
        return likely[0], forms[likely[0]]
    raise UserError(
        f"cannot tell which output of {what} holds the class scores, of {list(scores)}: name it with --{role}-output"
    )


def _check_label_count(model: onnx.ModelProto, form: Form, name: str, what: str) -> None:
    """One-vs-one scores have one column per pair of classes, which for three classes makes three."""
    maker = {output: node for node in model.graph.node for output in node.output}
    while (node := maker.get(name)) is not None and node.op_type in ("Identity", "Cast"):
        name = node.input[0]
    counts = label_counts(model)
    if node is not None and node.op_type == "SVMClassifier" and form.gives == "logits" and form.columns >= 3:
        pairs = "one-vs-one decision values, one column for each pair of classes"
        raise UserError(f"{what} outputs {pairs}: export probabilities, or one-vs-rest decision values")
    if len(counts) == 1 and form.classes not in counts:
        raise UserError(
            f"{what} outputs {form.columns} columns, but names {counts.pop()} classes: export one score for each class"
        )
