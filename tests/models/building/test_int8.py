"""The 8-bit graph: close to the float32 graph on the shipped networks, and served with its own threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.stats import spearmanr

from harmgauge.bundle.load import load
from harmgauge.bundle.manifest import Precision
from harmgauge.bundle.samples import read_samples
from harmgauge.errors import BundleError, SettingsError
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict_all
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import running_service
from tests.support.toy import instances, toy_autoencoder_bundle, toy_bundle, two_layers

SHAPE = (4, 4, 3)
PRECISIONS: tuple[Precision, Precision] = ("float32", "int8")


@pytest.fixture(scope="module")
def int8_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    networks = (two_layers(folder / "first.onnx", 1), two_layers(folder / "other.onnx", 2))
    return toy_bundle(folder, int8=True, networks=networks)


def test_the_shipped_graph_in_8_bits_scores_alike() -> None:
    bundle = load(SHIPPED_BUNDLE)
    samples = read_samples(bundle)
    x = np.concatenate([samples.clean, samples.corrupted])
    assert samples.y is not None
    quantised = load(SHIPPED_BUNDLE, "int8").graph
    whole, in_8_bits = (
        predict_all(graph, x, "samples", ("score", "probabilities")) for graph in (bundle.graph, quantised)
    )
    assert spearmanr(whole["score"], in_8_bits["score"]).statistic >= 0.98
    wide, narrow = (found["probabilities"][: len(samples.clean)] for found in (whole, in_8_bits))
    lost = (wide.argmax(1) == samples.y).mean() - (narrow.argmax(1) == samples.y).mean()
    assert lost <= 0.01, "5 of 500; the whole test set's figure is in the benchmarks"
    assert len(quantised) < 0.5 * len(bundle.graph)
    operators = [node.op_type for node in onnx.load_from_string(quantised).graph.node]
    assert operators.count("QuantizeLinear") > 30


def test_last_layers_and_divergence_stay_in_float(int8_bundle_path: Path) -> None:
    """If the logits were quantised, a score could take only a few values."""
    model = onnx.load_from_string(load(int8_bundle_path, "int8").graph)
    dequantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    assert sum(node.input[1] in dequantised for node in products) == 2
    assert sum(node.input[1] not in dequantised for node in products) == 2


def test_its_bundle_is_served_with_its_own_threshold_and_reference(int8_bundle_path: Path) -> None:
    wide, narrow = load(int8_bundle_path), load(int8_bundle_path, "int8")
    spec = narrow.manifest.int8
    assert spec is not None
    assert spec.measured["rank_correlation"] > 0.98
    assert spec.measured["classifier_agreement"] > 0.95
    assert spec.measured["speedup"] > 0
    rows = instances(20, SHAPE, seed=8)
    expected = OnnxRuntime(narrow, "cpu").run(rows)
    assert not np.array_equal(expected.score, OnnxRuntime(wide, "cpu").run(rows).score)
    calibration = np.sort(OnnxRuntime(narrow, "cpu").run(instances(600, SHAPE, seed=1)).score)
    np.testing.assert_allclose(narrow.reference.scores, calibration, atol=1e-5)
    assert narrow.threshold == pytest.approx(np.percentile(narrow.reference.scores, 95), abs=1e-5)
    with running_service(int8_bundle_path, precision="int8") as service:
        answer = service.score(rows)
        np.testing.assert_allclose(answer["scores"], expected.score, atol=1e-5)
        assert answer["threshold"] == narrow.threshold != wide.threshold
        assert service.client.get("/info").json()["precision"] == "int8"
    with pytest.raises(SettingsError, match="HARMGAUGE_PRECISION=int8 is for CPUs only"):
        OnnxRuntime(narrow, "cuda")


def test_a_bundle_without_it_says_so(image_bundle_path: Path) -> None:
    with pytest.raises(BundleError, match="has no int8 graph: build it with --int8"):
        load(image_bundle_path, "int8")


def test_networks_without_inner_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no inner Conv, Gemm or MatMul"):
        toy_bundle(tmp_path, int8=True)


def test_an_autoencoders_correction_survives_it(tmp_path: Path) -> None:
    bundle_path = toy_autoencoder_bundle(tmp_path, classifier=two_layers(tmp_path / "layers.onnx", 1), int8=True)
    rows = instances(200, SHAPE, seed=3)
    wide, narrow = (OnnxRuntime(load(bundle_path, way), "cpu").run(rows) for way in PRECISIONS)
    assert wide.corrected_probabilities is not None
    assert narrow.corrected_probabilities is not None
    agreement = (wide.corrected_probabilities.argmax(1) == narrow.corrected_probabilities.argmax(1)).mean()
    assert agreement > 0.9
    assert spearmanr(wide.score, narrow.score).statistic > 0.9
