"""One small bundle, evaluated once for all tests of the report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from harmgauge_models.evaluation.evaluate import Options, evaluate
from tests.support.few_rows import few_windows
from tests.support.once import once_per_run
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


def _evaluate(folder: Path) -> None:
    """Fill `folder`: the bundle as built with its data in `bundle`, the evaluated copy, and `work`."""
    original = toy_bundle(folder / "bundle", shape=SHAPE, error_probability=True)
    x = instances(600, SHAPE, seed=5)
    y = graph_outputs(original, x)[1].argmax(1)
    y[::10] = (y[::10] + 1) % 3
    np.savez(folder / "bundle" / "test.npz", x=x, y=y)
    evaluate(options_for(original, folder / "evaluated", folder / "work"))


@pytest.fixture(scope="session", autouse=True)
def _few_windows() -> Iterator[None]:
    with few_windows():
        yield


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only full evaluation with all its figures, shared by all files that read it."""
    return once_per_run(tmp_path_factory, "evaluation", _evaluate)


@pytest.fixture(scope="session")
def original(evaluation: Path) -> Path:
    """A bundle as built, with an error probability."""
    return evaluation / "bundle" / "toy" / "1"


@pytest.fixture(scope="session")
def data(original: Path) -> Path:
    """Pictures of which the bundle's classifier gets nine in ten right."""
    return original.parents[1] / "test.npz"


@pytest.fixture(scope="session")
def work(evaluation: Path) -> Path:
    """The folder of intermediate results: `evaluated` wrote them, the other runs reuse them."""
    return evaluation / "work"


@pytest.fixture(scope="session")
def evaluated(evaluation: Path) -> Path:
    return evaluation / "evaluated" / "toy" / "1"
