"""One small bundle, evaluated once for all tests of the report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from harmgauge_models.evaluation import figures
from harmgauge_models.evaluation.evaluate import Options, evaluate
from tests.support.toy import instances, toy_bundle

SHAPE = (16, 16, 3)


def graph_outputs(bundle: Path, x: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Score and probabilities by the graph alone."""
    session = ort.InferenceSession(str(bundle / "detector.onnx"), providers=["CPUExecutionProvider"])
    score, probabilities = session.run(["score", "probabilities"], {"input": x})
    return score, probabilities.astype(np.float64)


def options_for(original: Path, folder: Path, work: Path) -> Options:
    """Options for a copy of the bundle in `folder`."""
    bundle = Path(shutil.copytree(original, folder / "toy" / "1"))
    return Options(bundle, original.parents[1] / "test.npz", work, quick=True, say=lambda _: None)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as built, with an error probability."""
    return toy_bundle(tmp_path_factory.mktemp("bundle"), shape=SHAPE, error_probability=True)


@pytest.fixture(scope="session")
def data(original: Path) -> Path:
    """Pictures of which the bundle's classifier gets nine in ten right."""
    x = instances(600, SHAPE, seed=5)
    y = graph_outputs(original, x)[1].argmax(1)
    y[::10] = (y[::10] + 1) % 3
    path = original.parents[1] / "test.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of intermediate results: the first run writes them, the others reuse them."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def evaluated(original: Path, data: Path, work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert data.is_file()
    options = options_for(original, tmp_path_factory.mktemp("evaluated"), work)
    evaluate(options)
    return options.bundle


@pytest.fixture
def figures_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes half of a short evaluation: for tests of everything else.

    `evaluated` and the other tests draw them.
    """
    monkeypatch.setattr(figures, "svg", lambda _figure, title: f'<svg role="img" aria-label="{title}"></svg>')
    monkeypatch.setattr(figures, "png", lambda _figure: b"not drawn")
