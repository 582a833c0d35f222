"""A classifier as an ONNX file: its inputs, its output, and whether harmgauge can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import onnx

from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.part import Dtype
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.divergence import Gives
from harmgauge_models.graphs.fork import check_names
from harmgauge_models.graphs.fuse import Network, read
from harmgauge_models.graphs.inputs import (
    arrays_of,
    declared,
    dtype_of,
    fit_array,
    fit_records,
    name_free_axes,
    stacked,
)
from harmgauge_models.graphs.lengths import with_lengths
from harmgauge_models.graphs.normal_form.any_rows import freed, serialised
from harmgauge_models.graphs.normal_form.class_labels import class_labels, label_counts
from harmgauge_models.graphs.normal_form.score_output import candidates
from harmgauge_models.graphs.normal_form.scores import Form, append, judge
from harmgauge_models.graphs.normal_form.tidy import drop_sequences, tidy
from harmgauge_models.graphs.pixels import Normalisation, take_pixels
from harmgauge_models.graphs.records import TEXT, are_records, fields, make_records

Pixels = tuple[Normalisation, Literal["HWC", "CHW"]]
"""How a network's images are normalised, and their layout."""


@dataclass(frozen=True)
class Classifier:
    """An ONNX network in normal form: a first output (n, classes) float32, and any number of rows. `inputs` describes
    its inputs, whose names its graph keeps in the bundle if the network is `named`.

    `runnable` is the file itself if it is already in normal form. `labels` are the classes' names, if the file has
    them; `notes` describe the changes in sentences. `pixels` is the normalisation that was put in front of it.
    """

    path: Path
    runnable: Path | bytes
    network: Network
    inputs: tuple[Input, ...]
    classes: int
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    pixels: Pixels | None = None

    @property
    def dtype(self) -> Dtype:
        """The dtype of the only input of a network that is not `named`."""
        (taken,) = self.inputs
        assert taken.dtype != "string"
        return taken.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row, if rows are one array; () if they are records."""
        return () if self.network.named else tuple(size for size in self.inputs[0].shape if size is not None)

    def fit(self, x: Array, what: str) -> Array:
        """Convert rows from the file `what` to the form that the network accepts. Raises UserError."""
        return fit_rows(x, self.inputs, what, named=self.network.named)


def fit_rows(x: Array, inputs: Sequence[Input], what: str, *, named: bool) -> Array:
    """Convert rows to records in the form of `inputs` if they are `named`, otherwise to one array; a table's columns
    are matched by name. Raises UserError.
    """
    if named:
        return fit_records(_as_records(x, inputs), inputs, what)
    (taken,) = inputs
    if are_records(x):
        there = fields(x)
        if taken.columns is None and taken.name in there:
            x = x[taken.name]
        else:
            x, _ = stacked(x, None if taken.columns is None else [column.name for column in taken.columns], what)
    assert taken.dtype != "string"
    return fit_array(x, taken.dtype, tuple(size for size in taken.shape if size is not None), what)


def open_classifier(
    path: Path,
    x: Array,
    role: str,
    output: str | None = None,
    gives: Gives | None = None,
    *,
    pixels: Pixels | None = None,
) -> Classifier:
    """Read the network `role` from `path` and inspect its outputs for the rows `x`: one array, or records with a field
    for each input or for each column of the only input.

    NaN in `x` is a missing value. With `pixels`, the network takes normalised images, `x` holds pixels, and the
    normalisation is put in front of the network. Raises UserError if the network does not accept `x`, or if its output
    is not a distribution over two or more classes.
    """
    what = f"the {role} {path}"
    model = read(path)
    changed = tidy(model)
    if pixels is not None:
        take_pixels(model, *pixels, what)
        changed = True
    inputs, named = _inputs(list(model.graph.input), x, what)
    if named:
        check_names([taken.name for taken in inputs], what)
    for value, taken in zip(model.graph.input, inputs, strict=True):
        changed |= name_free_axes(value, 1 + len(taken.shape))
    rows = fit_rows(x, inputs, what, named=named)
    found = candidates(model, output, what, f"--{role}-output")
    labelled = onnx.ModelProto()
    labelled.CopyFrom(model)
    changed |= drop_sequences(model) | _expose(model, found)
    opened = freed(model, [value.name for value in model.graph.input], found, rows, what)
    notes = list(opened.notes)
    if named and (others := [taken.name for taken in inputs if taken.name not in fields(_as_records(x, inputs))]):
        notes.append(f"{what} has exported some columns under other names, which requests use too: {', '.join(others)}")
    name, form = _judged(opened.scores, gives, what, role)
    scores = opened.scores[name]
    check_finite(scores, rows, what)
    _check_label_count(labelled, form, name, what)
    if named:
        before = opened.model.SerializeToString()
        inputs = with_lengths(opened.model, inputs, rows, name)
        changed |= before != opened.model.SerializeToString()
    normal = append(opened.model, name, scores, form)
    if form.columns == 1:
        meaning = "the probability" if form.gives == "probabilities" else "the logit"
        notes.append(f"{what} has one output column, which is treated as {meaning} of the second of two classes")
    if form.rescaled:
        notes.append(f"the output rows of {what} do not quite sum to 1; each is divided by its sum")
    same = not (changed or opened.changed) and normal == name
    network = Network(opened.model, opened.inputs, normal, form.gives, named=named)
    runnable = path if same else serialised(opened.model, what)
    return Classifier(
        path, runnable, network, inputs, form.classes, class_labels(labelled, form.classes), tuple(notes), pixels
    )


def _inputs(values: Sequence[onnx.ValueInfoProto], x: Array, what: str) -> tuple[tuple[Input, ...], bool]:
    """The inputs that these rows are for, and whether the bundle keeps their names: all but those of one array."""
    if not values:
        raise UserError(f"{what} has no input: export it with the row as its input")
    only = dtype_of(values[0], what) if len(values) == 1 else None
    if only not in (None, "string") and not (are_records(x) and TEXT in fields(x)):
        columns = None
        if are_records(x):
            if values[0].name in fields(x):
                x = x[values[0].name]
            else:
                x, names = stacked(x, None, what)
                columns = tuple(Column(name=name, kind="number") for name in names)
        shape = _shape(values[0], x, what, columns)
        return (Input(name=values[0].name, dtype=only, shape=shape, columns=columns),), False
    if not are_records(x):
        if only == "string" and x.dtype.kind in "OUS":
            return declared(values, make_records({values[0].name: x}), what), True
        listed = ", ".join(repr(value.name) for value in values[:5])
        kinds = "strings" if only == "string" else "one array for each input"
        raise UserError(
            f"{what} has the input{'s' if len(values) > 1 else ''} {listed}{', ...' if len(values) > 5 else ''}, but "
            f"the data have only x, which is {x.dtype} {x.shape}: save {kinds}, named like the inputs, with "
            "numpy.savez, or give a table (.parquet, .csv) whose columns have these names"
        )
    return declared(values, x, what), True


def _as_records(x: Array, inputs: Sequence[Input]) -> Array:
    """Plain strings are the only input's."""
    return x if are_records(x) or len(inputs) > 1 else make_records({inputs[0].name: x})


def distribution(outputs: Array, gives: Gives, temperature: float) -> npt.NDArray[np.float64]:
    """Compute y ** (1 / T), renormalised, (n, classes) float64, from logarithms."""
    wide = outputs.astype(np.float64)
    with np.errstate(divide="ignore"):  # the log of 0 is -infinity, and its exponential is 0 again
        log_y = (wide if gives == "logits" else np.log(np.maximum(wide, 0))) / temperature
    powers = np.exp(log_y - log_y.max(1, keepdims=True))
    return cast("npt.NDArray[np.float64]", powers / powers.sum(1, keepdims=True))


def _shape(value: onnx.ValueInfoProto, x: Array, what: str, columns: tuple[Column, ...] | None) -> tuple[int, ...]:
    dimensions = value.type.tensor_type.shape.dim
    if value.type.tensor_type.HasField("shape") and len(dimensions) != x.ndim:
        raise UserError(
            f"the input {value.name!r} of {what} has {len(dimensions)} axes, but x has {x.ndim}; "
            "the first axis of both must be the rows"
        )
    sizes = [dimension.dim_value if dimension.dim_value > 0 else None for dimension in dimensions][1:]
    if any(size not in (None, given) for size, given in zip(sizes, x.shape[1:], strict=False)):
        if columns is not None:
            names = ", ".join(repr(column.name) for column in columns[:8])
            raise UserError(
                f"the input {value.name!r} of {what} expects rows of {sizes}, but the data have {len(columns)} columns "
                f"({names}{', ...' if len(columns) > 8 else ''}): leave out those that it was not trained on"
            )
        raise UserError(f"the input {value.name!r} of {what} expects rows of {sizes}, but x has rows of {x.shape[1:]}")
    return tuple(x.shape[1:])


def check_finite(scores: Array, rows: Array, what: str, *, numbers: Array | None = None, of: str = "") -> None:
    """Raise UserError if any of `scores` (n, ...), the outputs of `what` for `rows` (n, *shape), is not finite.

    `numbers` (n,) are the rows' positions in the file `of`, if they are not 0, 1, ...
    """
    places = np.arange(len(rows)) if numbers is None else numbers
    named = f" of {of}" if of else ""
    bad = np.flatnonzero(~np.isfinite(scores.reshape(len(scores), -1)).all(1))
    if not len(bad):
        return
    for field, values in arrays_of(rows).items():
        flat = values.reshape(len(values), -1)
        missing = np.flatnonzero(np.isnan(flat[bad]).any(1)) if values.dtype.kind == "f" else np.zeros(0, np.int64)
        if len(missing):
            row = int(bad[missing[0]])
            column = repr(field) if field else int(np.flatnonzero(np.isnan(flat[row]))[0])
            raise UserError(
                f"{what} does not accept missing values: it returns NaN for row {places[row]}{named}, whose column "
                f"{column} is NaN: fill them in as for its training (best inside the exported graph), or leave these "
                "rows out"
            )
    raise UserError(
        f"{what} returns NaN or infinity for the data, the first for row {places[bad[0]]}{named}: check the data "
        "and the export"
    )


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
