"""Small classifiers with named inputs: columns of numbers and strings, and token ids with a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.rows import Array
from harmgauge_models.graphs import records

CITIES = ("Athens", "Bern", "Cairo")
MEASURED = ("age", "years", "months", "height", "city")
VOCABULARY = 40
PAD = 3


def mixed(path: Path, *, names: tuple[str, ...] = ("age", "city")) -> Path:
    """Two classes from numbers and, last, a category, as a linear model on their mean and the one-hot category."""
    *numbers, city = names
    each = 2 / len(numbers)
    weights = np.array([*[[each, -each]] * len(numbers), [1, -1], [-1, 1], [0, 0]], np.float32)
    nodes = [
        helper.make_node("OneHotEncoder", [city], ["codes"], domain="ai.onnx.ml", cats_strings=list(CITIES), zeros=1),
        helper.make_node("Reshape", ["codes", "flat"], ["flat_codes"]),
        helper.make_node("Concat", [*numbers, "flat_codes"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in numbers),
            helper.make_tensor_value_info(city, TensorProto.STRING, [None, 1]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([-1, len(CITIES)], np.int64), "flat"),
        ],
    )
    return _saved(graph, path, ml=True)


def measured_rows(rows: int, seed: int = 0) -> tuple[Array, npt.NDArray[np.int64]]:
    """Records for `mixed` with the inputs MEASURED, of which the numbers measure the same: one that is wrong shows."""
    x, y = mixed_rows(rows, seed)
    random = np.random.default_rng((seed, 1))
    some = {name: (x["age"] + random.normal(0, 0.3, (rows, 1))).astype(np.float32) for name in MEASURED[:-1]}
    return records.make_records({**some, "city": x["city"]}), y


def mixed_rows(rows: int, seed: int = 0) -> tuple[Array, npt.NDArray[np.int64]]:
    """Records for `mixed`, and labels that it mostly gets right."""
    random = np.random.default_rng(seed)
    age = random.normal(0, 2, (rows, 1)).astype(np.float32)
    city = random.choice(CITIES, (rows, 1))
    x = records.make_records({"age": age, "city": city})
    raw = 2 * age[:, 0] + (city[:, 0] == "Athens") - (city[:, 0] == "Bern")
    return x, (raw + random.normal(0, 0.5, rows) < 0).astype(np.int64)


def tokens(path: Path, *, masked: bool = True, width: int | None = None) -> Path:
    """Three classes from the mean of the ids' vectors, over the mask if `masked`; `width` fixes the length."""
    random = np.random.default_rng(1)
    table = random.normal(size=(VOCABULARY, 6)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept" if masked else "vectors", "one"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "one"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    shape = ["n", width or "length"]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(3 * random.normal(size=(6, 3)).astype(np.float32), "weights"),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    return _saved(graph, path)


def token_rows(rows: int, width: int = 12, seed: int = 0) -> Array:
    """Records for `tokens` of 3 to `width` ids, which begin with 1 and end with 2."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, width + 1, rows)
    places = np.arange(width)
    inside = places < lengths[:, None]
    ids = np.where(inside, random.integers(4, VOCABULARY, (rows, width)), PAD)
    ids[:, 0] = 1
    ids[np.arange(rows), lengths - 1] = 2
    return records.make_records({"input_ids": ids.astype(np.int64), "attention_mask": inside.astype(np.int64)})


def save(path: Path, x: Array, y: Array | None = None) -> Path:
    """Write records as an `.npz` file with an array for each field."""
    arrays = {name: x[name].astype(np.str_) if x[name].dtype.kind == "O" else x[name] for name in records.fields(x)}
    np.savez(path, allow_pickle=False, **arrays, **({} if y is None else {"y": y}))
    return path


def _saved(graph: onnx.GraphProto, path: Path, *, ml: bool = False) -> Path:
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid("ai.onnx.ml", 3)] if ml else [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path
