"""Classifiers as other frameworks export them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.options import Options
from tests.support.few_rows import few_copies, few_fitted
from tests.support.process import running_service
from tests.support.toy import instances, toy_bundle

SHAPE = (4, 4, 3)


def test_double_rows_are_taken_for_a_float_input(tmp_path: Path) -> None:
    folder = toy_bundle(tmp_path, shape=(5,), dtype="float32")
    np.savez(tmp_path / "double.npz", x=instances(200, (5,), "float64", seed=1))
    classifier, second = tmp_path / "classifier.onnx", tmp_path / "second.onnx"
    options = Options(classifier, tmp_path / "double.npz", "toy", distilled=second, out=tmp_path, window_rows=100)
    again = build(replace(options, say=lambda _: None))
    assert folder != again
    assert load(again).manifest.input.dtype == "float32"


def test_a_scikit_learn_classifier_goes_the_same_way(tmp_path: Path) -> None:
    """A random forest on the breast cancer data (569 real rows, 30 columns): exported, distilled, served and scored."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    train, calibration, fresh = order[:300], order[300:450], order[450:]
    forest = RandomForestClassifier(30, random_state=0).fit(x[train], y[train])
    exported = to_onnx(forest, x[:1], options={"zipmap": False}, target_opset=18)
    (tmp_path / "forest.onnx").write_bytes(exported.SerializeToString())
    for name, rows in (("train", train), ("calibration", calibration)):
        np.savez(tmp_path / f"{name}.npz", x=x[rows], y=y[rows])
    said: list[str] = []
    options = Options(
        classifier=tmp_path / "forest.onnx",
        train=tmp_path / "train.npz",
        calibration=tmp_path / "calibration.npz",
        name="forest",
        class_names=("malignant", "benign"),
        out=tmp_path,
        window_rows=100,
        work=few_copies(tmp_path / "work", 16),
        epochs=8,
        keep=True,
        say=said.append,
    )
    with few_fitted(1200, adjusting=1200):
        folder = build(options)
    manifest = load(folder).manifest
    assert "outputs probabilities for 2 classes" in "".join(said)
    assert manifest.made["second_network"]["rows"]["layout"] == "table"
    assert manifest.quality["agreement"] > 0.9
    with running_service(folder) as service:
        answer = service.client.post(
            "/score", json={"instances": x[fresh].tolist(), "parameters": {"probabilities": True}}
        ).json()
        np.testing.assert_array_equal(answer["predictions"], forest.predict(x[fresh]))
        np.testing.assert_allclose(answer["probabilities"], forest.predict_proba(x[fresh]), atol=1e-5)
        noise = np.random.default_rng(1).uniform(x.min(0), x.max(0), (200, 30)).astype(np.float32)
        assert np.mean(service.score(noise)["scores"]) > 2 * np.mean(answer["scores"]), "noise is no tumour"
        assert service.score_ks()["state"] == "drifting"


@pytest.mark.filterwarnings("ignore")  # from the exporter
def test_a_pytorch_classifier_exported_as_readme_says(tmp_path: Path) -> None:
    """Images as planes of 0..1; the exporter puts the weights into a second file beside the graph."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 5)).eval()
    example = torch.rand(2, 3, 16, 16)
    path = tmp_path / "classifier.onnx"
    torch.onnx.export(network, (example,), str(path), dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False)
    x = np.random.default_rng(0).random((300, 3, 16, 16), np.float32)
    for name in ("train", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=x)
    bundle = load(
        build(
            Options(
                path,
                tmp_path / "calibration.npz",
                "torch",
                train=tmp_path / "train.npz",
                out=tmp_path,
                epochs=1,
                keep=True,
                say=lambda _: None,
            )
        )
    )
    with torch.no_grad():
        expected = network(torch.from_numpy(x[:20])).softmax(1).numpy()
    np.testing.assert_allclose(OnnxRuntime(bundle, "cpu").run(x[:20]).probabilities, expected, atol=1e-5)
    assert bundle.manifest.input.image is not None
    assert bundle.manifest.input.image.layout == "CHW"
    assert len(bundle.manifest.made["second_network"]["head"]) == 1
