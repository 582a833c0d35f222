"""Small bundles with inputs by name: a table of 14 columns, tokens of free length, and strings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.load import DETECTOR_FILE, REFERENCE_FILE, SAMPLES_FILE
from harmgauge.bundle.manifest import DriftSpec, Manifest, ThresholdSpec
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.bundle.reference import Reference
from harmgauge.bundle.rows import Array
from harmgauge.bundle.samples import named_arrays
from harmgauge.bundle.write import write_bundle
from harmgauge.drift import ks
from harmgauge.inference.runtime import OnnxRuntime, verify

NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
STRINGS = (
    "workclass", "education", "marital_status", "occupation", "relationship", "race", "sex", "native_country",
)  # fmt: skip
WORDS = ("Private", "State-gov", "Never-worked", "café")
CLASSES = ("no", "yes")
VOCABULARY = 50
LONGEST = 32

_WINDOW_ROWS, _BETWEEN = 100, 1_000_000

_FLOAT, _STRING, _INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64


def table_inputs(**strings: Any) -> NamedInputs:
    """14 inputs of one column, 8 of them of strings, which get the fields `strings`."""
    numbers = [Input(name=name, dtype="float32", shape=(1,), missing=name == "age") for name in NUMBERS]
    more = {"categories": WORDS, **strings}
    return NamedInputs(
        inputs=(
            *numbers,
            *(Input(name=name, dtype="string", shape=(1,), missing=name == "sex", **more) for name in STRINGS),
        )
    )


def token_inputs(*, pad_value: float | None = 0) -> NamedInputs:
    """`input_ids` and `attention_mask`, of up to 32 tokens."""
    common: dict[str, Any] = {"dtype": "int64", "shape": (None,), "maximum": LONGEST, "pad_value": pad_value}
    return NamedInputs(
        inputs=(
            Input(name="input_ids", vocabulary_size=VOCABULARY, **common),
            Input(name="attention_mask", range=(0, 1), **common),
        )
    )


def string_inputs() -> NamedInputs:
    return NamedInputs(inputs=(Input(name="message", dtype="string", shape=(1,)),))


def table_rows(rows: int, seed: int = 0, scale: float = 1.0) -> dict[str, Array]:
    """Arrays of a table by input name; strings as Unicode."""
    random = np.random.default_rng(seed)
    numbers = {name: (scale * random.normal(size=(rows, 1))).astype(np.float32) for name in NUMBERS}
    return numbers | {name: random.choice(WORDS, (rows, 1)) for name in STRINGS}


def token_rows(rows: int, seed: int = 0, longest: int = LONGEST) -> list[dict[str, list[int]]]:
    """Records of 1 to `longest` tokens; no token is the pad value."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, rows)
    return [
        {"input_ids": random.integers(1, VOCABULARY, length).tolist(), "attention_mask": [1] * int(length)}
        for length in lengths
    ]


def padded(records: list[dict[str, list[int]]], length: int = LONGEST) -> dict[str, Array]:
    """The same as arrays, padded with 0."""
    return {
        name: np.array([[*record[name], *[0] * (length - len(record[name]))] for record in records], np.int64)
        for name in records[0]
    }


def _two_heads(weights: Array, seed: int) -> tuple[list[Any], list[Any]]:
    """Nodes and initializers from "wide" (n, k) to score and probabilities: two linear networks, compared."""
    other = weights + np.random.default_rng(seed + 100).normal(0, 0.3, weights.shape)
    nodes = [
        helper.make_node("MatMul", ["wide", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("MatMul", ["wide", "v"], ["others"]),
        helper.make_node("LogSoftmax", ["others"], ["log_q"], axis=-1),
        helper.make_node("Mul", ["probabilities", "log_q"], ["product"]),
        helper.make_node("ReduceSum", ["product", "last"], ["negative"], keepdims=0),
        helper.make_node("Neg", ["negative"], ["score"]),
    ]
    values = {"w": weights.astype(np.float32), "v": other.astype(np.float32), "last": np.array([1])}
    return nodes, [numpy_helper.from_array(value, name) for name, value in values.items()]


def _graph(nodes: list[Any], constants: list[Any], inputs: list[Any]) -> bytes:
    outputs = [
        helper.make_tensor_value_info("score", _FLOAT, ["n"]),
        helper.make_tensor_value_info("probabilities", _FLOAT, ["n", len(CLASSES)]),
    ]
    graph = helper.make_graph(nodes, "named", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _number_of(string: str, output: str) -> Any:
    """A node that turns known words into numbers, and others into 9."""
    return helper.make_node(
        "LabelEncoder", [string], [output], domain="ai.onnx.ml", keys_strings=[*WORDS, ""],
        values_floats=[0.5, -0.5, 1.0, 2.0, 3.0], default_float=9.0,
    )  # fmt: skip


def table_graph(seed: int = 0) -> bytes:
    nodes = [_number_of(name, f"{name}_number") for name in STRINGS]
    nodes += [
        helper.make_node("IsNaN", ["age"], ["gap"]),
        helper.make_node("Where", ["gap", "usual", "age"], ["filled"]),
    ]
    wide = ["filled", *NUMBERS[1:], *(f"{name}_number" for name in STRINGS)]
    nodes.append(helper.make_node("Concat", wide, ["wide"], axis=1))
    weights = np.random.default_rng(seed).normal(size=(len(wide), len(CLASSES)))
    heads, constants = _two_heads(weights, seed)
    constants.append(numpy_helper.from_array(np.array(0.5, np.float32), "usual"))
    inputs = [helper.make_tensor_value_info(name, _FLOAT, ["n", 1]) for name in NUMBERS]
    inputs += [helper.make_tensor_value_info(name, _STRING, ["n", 1]) for name in STRINGS]
    return _graph([*nodes, *heads], constants, inputs)


def token_graph(seed: int = 0) -> bytes:
    """Mean of the embeddings of the tokens that the mask keeps: without any, NaN."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=_FLOAT),
        helper.make_node("Unsqueeze", ["real", "end"], ["mask"]),
        helper.make_node("Mul", ["embedded", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["wide"]),
    ]
    random = np.random.default_rng(seed)
    heads, constants = _two_heads(random.normal(size=(8, len(CLASSES))), seed)
    values = {
        "table": random.normal(0, 2, (VOCABULARY, 8)).astype(np.float32), "end": np.array([2]), "tokens": np.array([1])
    }  # fmt: skip
    constants += [numpy_helper.from_array(value, name) for name, value in values.items()]
    inputs = [helper.make_tensor_value_info(name, _INT64, ["n", "length"]) for name in ("input_ids", "attention_mask")]
    return _graph([*nodes, *heads], constants, inputs)


def string_graph(seed: int = 0) -> bytes:
    heads, constants = _two_heads(np.random.default_rng(seed).normal(size=(1, len(CLASSES))), seed)
    inputs = [helper.make_tensor_value_info("message", _STRING, ["n", 1])]
    return _graph([_number_of("message", "wide"), *heads], constants, inputs)


def toy_table(folder: Path, *, seed: int = 0, **strings: Any) -> Path:
    inputs = table_inputs(**strings)
    rows = {name: inputs.rows(table_rows(40, 5, scale)) for name, scale in (("clean", 1.0), ("corrupted", 5.0))}
    return write_named(folder / "table", inputs, table_graph(seed), inputs.rows(table_rows(600, 1)), rows)


def toy_tokens(folder: Path, *, pad_value: float | None = 0, seed: int = 0, **more: Any) -> Path:
    inputs = token_inputs(pad_value=pad_value)
    rows = {name: inputs.rows(padded(token_rows(40, at))) for at, name in enumerate(("clean", "corrupted"))}
    return write_named(
        folder / "tokens", inputs, token_graph(seed), inputs.rows(padded(token_rows(600, 1))), rows, **more
    )


def toy_strings(folder: Path) -> Path:
    inputs = string_inputs()
    random = np.random.default_rng(1)
    rows = {name: inputs.rows({"message": random.choice(WORDS, (40, 1))}) for name in ("clean", "corrupted")}
    normal = inputs.rows({"message": random.choice(WORDS, (600, 1))})
    return write_named(folder / "strings", inputs, string_graph(), normal, rows)


def write_named(
    folder: Path,
    inputs: NamedInputs,
    graph: bytes,
    normal: NamedRows,
    samples: dict[str, NamedRows],
    *,
    preparation: dict[str, Any] | None = None,
    files: dict[str, bytes] | None = None,
) -> Path:
    """Write a bundle of `graph`, version 1, with the reference scores of `normal` rows; returns its folder."""
    stream = io.BytesIO()
    arrays = [named_arrays(rows, name, inputs) for name, rows in samples.items()]
    np.savez(stream, allow_pickle=False, **(arrays[0] | arrays[1]))
    scores = np.sort(_scores(graph, inputs, normal))
    reference = Reference(scores, probe=inputs.arrays(normal[:1]))
    value = float(np.float32(np.percentile(scores, 90)))
    threshold = ThresholdSpec(value=value, percentile=90, rows=len(scores), source="toy")
    p_value = ks.p_value_threshold(_WINDOW_ROWS, _BETWEEN)
    drift = DriftSpec(
        window_rows=_WINDOW_ROWS,
        rows_between_false_alarms=_BETWEEN,
        p_value_threshold=p_value,
        statistic_threshold=ks.statistic_threshold(_WINDOW_ROWS, len(scores), p_value),
    )
    manifest = Manifest.model_validate(
        {
            "schema_version": 2, "name": folder.name, "version": "1", "detector": "distillation",
            "score": {"loss": "xent"},
            "inputs": [found.model_dump(exclude_none=True) for found in inputs.inputs], "class_names": CLASSES,
            "threshold": threshold.model_dump(), "error_probability": "a toy",
            "drift": drift.model_dump(),
            "reference": {"all": REFERENCE_FILE}, "made": {}, "quality": {}, "files": {},
        }
        | ({} if preparation is None else {"preparation": preparation})
    )  # fmt: skip
    contents = {DETECTOR_FILE: graph, REFERENCE_FILE: reference.npz(), SAMPLES_FILE: stream.getvalue(), **(files or {})}
    write_bundle(manifest, contents, folder / "1", verify)
    return folder / "1"


def _scores(graph: bytes, inputs: NamedInputs, rows: NamedRows) -> Array:
    """Scores by ONNX Runtime itself, row by row: independent of the service's grouping."""
    import onnxruntime as ort

    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    one_by_one = [session.run(["score"], inputs.feeds(rows[at : at + 1]))[0] for at in range(len(rows))]
    return np.concatenate(one_by_one).astype(np.float64)


def runtime_of(folder: Path) -> OnnxRuntime:
    from harmgauge.bundle.load import load

    return OnnxRuntime(load(folder), "cpu")
