"""Small real networks and bundles, created without PyTorch by the same code that creates large ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.load import SAMPLES_FILE
from harmgauge.bundle.rows import Array
from harmgauge_models.options import Options
from tests.support.built_once import built
from tests.support.bundles import edit, replace_file
from tests.support.error_probability import add_error_probability


def linear_network(
    path: Path,
    shape: tuple[int, ...],
    classes: int,
    seed: int,
    *,
    dtype: str = "uint8",
    softmax: bool = False,
    opset: int = 18,
    scale: float = 1.0,
    output_columns: int | None = None,
) -> Path:
    """An ONNX classifier of rows (n, *shape): flatten, one matrix, optionally softmax."""
    random = np.random.default_rng(seed)
    features = int(np.prod(shape))
    weights = random.normal(0, scale / np.sqrt(features), (features, output_columns or classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["y"]),
    ]
    if softmax:
        nodes[-1].output[0] = "logits"
        nodes.append(helper.make_node("Softmax", ["logits"], ["y"], axis=-1))
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", element, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", output_columns or classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save_model(model, str(path))
    return path


def table_network(path: Path, columns: int, classes: int, seed: int) -> Path:
    """An ONNX classifier of float32 rows (n, columns) that accepts NaN, which counts as 0.5, with a flag beside the
    column.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(size=(2 * columns, classes)).astype(np.float32)
    nodes = [
        helper.make_node("IsNaN", ["x"], ["gaps"]),
        helper.make_node("Where", ["gaps", "usual", "x"], ["filled"]),
        helper.make_node("Cast", ["gaps"], ["flags"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["filled", "flags"], ["wide"], axis=1),
        helper.make_node("MatMul", ["wide", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(0.5, np.float32), "usual")],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return path


def with_gaps(rows: Array, seed: int = 0) -> Array:
    """A copy of float rows (n, *shape) in which about every fifth value is NaN."""
    return np.where(np.random.default_rng(seed).random(rows.shape) < 0.2, np.nan, rows).astype(rows.dtype)


def toy_table_bundle(folder: Path, *, columns: int = 14, **options: Any) -> Path:
    """A bundle of two networks for float32 rows in which values may be missing; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    networks = [table_network(folder / f"{seed}.onnx", columns, 3, seed) for seed in (1, 2)]
    bundle = toy_bundle(
        folder, shape=(columns,), dtype="float32", networks=(networks[0], networks[1]), features="none", **options
    )
    edit(bundle, lambda manifest: manifest["inputs"][0].update(missing=True))
    rows = instances(40, (columns,), "float32", seed=3)
    samples = io.BytesIO()
    np.savez(samples, clean=with_gaps(rows), corrupted=with_gaps(rows * 5))
    replace_file(bundle, SAMPLES_FILE, samples.getvalue())
    return bundle


def linear_autoencoder(path: Path, shape: tuple[int, ...], seed: int, *, dtype: str = "uint8") -> Path:
    """An ONNX autoencoder from (n, *shape) to float32 that moves each row towards a random mixture of its values."""
    random = np.random.default_rng(seed)
    features = int(np.prod(shape))
    mixture = random.normal(0, 1 / np.sqrt(features), (features, features))
    weights = (0.5 * np.eye(features) + 0.5 * mixture).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["raw"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "shape"], ["reconstruction"]),
    ]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("raw", element, ["n", *shape])],
        [helper.make_tensor_value_info("reconstruction", TensorProto.FLOAT, ["n", *shape])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([-1, *shape]), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save_model(model, str(path))
    return path


def instances(rows: int, shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    if dtype == "uint8":
        return random.integers(0, 256, (rows, *shape), np.uint8)
    return random.normal(size=(rows, *shape)).astype(dtype)


def toy_autoencoder_bundle(
    folder: Path,
    *,
    shape: tuple[int, ...] = (4, 4, 3),
    dtype: str = "uint8",
    classifier: Path | None = None,
    int8: bool = False,
    error_probability: bool = False,
) -> Path:
    """A bundle with correction: a linear classifier (or the one given) behind a linear autoencoder."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = 0.02 if dtype == "uint8" else 1.0
    calibration = instances(600, shape, dtype, seed=1)
    np.savez(folder / "calibration.npz", x=calibration)
    bundle = built(
        Options(
            classifier=classifier or linear_network(folder / "classifier.onnx", shape, 3, 1, dtype=dtype, scale=scale),
            detector="adversarial-autoencoder",
            autoencoder_onnx=linear_autoencoder(folder / "autoencoder.onnx", shape, 2, dtype=dtype),
            calibration=folder / "calibration.npz",
            name="toy",
            out=folder,
            window_rows=100,
            percentile=60.0,
            int8=int8,
            say=lambda _: None,
        )
    )
    if error_probability:
        add_error_probability(bundle, calibration)
    return bundle


def toy_bundle(
    folder: Path,
    *,
    shape: tuple[int, ...] = (4, 4, 3),
    dtype: str = "uint8",
    classes: int = 3,
    rows: int = 600,
    window_rows: int = 100,
    networks: tuple[Path, Path] | None = None,
    error_probability: bool = False,
    calibration: Array | None = None,
    **options: Any,
) -> Path:
    """A bundle of two linear networks (or of `networks`); returns its folder.

    With `error_probability`, its graphs output P(wrong) with mean .1 over the calibration rows, which by default are
    `instances(rows, shape, dtype, seed=1)`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A random second network ranks no better than the classifier's entropy, which would replace it.
    options.setdefault("keep", True)
    scale = 0.02 if dtype == "uint8" else 1.0
    if calibration is None:
        calibration = instances(rows, shape, dtype, seed=1)
    np.savez(folder / "calibration.npz", x=calibration)
    if "samples" not in options:
        np.savez(folder / "samples.npz", clean=calibration[:40], corrupted=calibration[:40][:, ::-1])
        options["samples"] = folder / "samples.npz"
    classifier, distilled = networks or (
        linear_network(folder / "classifier.onnx", shape, classes, 1, dtype=dtype, scale=scale),
        linear_network(folder / "second.onnx", shape, classes, 2, dtype=dtype, scale=scale),
    )
    bundle = built(
        Options(
            classifier=classifier,
            distilled=distilled,
            calibration=folder / "calibration.npz",
            name="toy",
            out=folder,
            window_rows=window_rows,
            say=lambda _: None,
            **options,
        )
    )
    if error_probability:
        add_error_probability(bundle, calibration)
    return bundle


def two_layers(path: Path, seed: int) -> Path:
    """A classifier of rows (n, 4, 4, 3): flatten, 48 x 32, Relu, 32 x 3."""
    random = np.random.default_rng(seed)
    weights = {
        "first": random.normal(0, 0.002, (48, 32)).astype(np.float32),
        "second": random.normal(0, 0.3, (32, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["bent"]),
        helper.make_node("MatMul", ["bent", "second"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 4, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return path
