"""The running service that most end-to-end tests share, one per file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.process import RunningService, running_service
from tests.support.swapping import KEY_LINE, POOL, SHAPE
from tests.support.toy import linear_network, toy_bundle

MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, max_body_bytes=MAX_BODY_BYTES) as running:
        yield running


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Versions 1 and 2 of one model, which give every input different scores."""
    folder = tmp_path_factory.mktemp("versions")
    first = toy_bundle(folder)
    networks = tuple(linear_network(folder / f"n{seed}.onnx", SHAPE, 3, seed, scale=0.02) for seed in (8, 9))
    second = toy_bundle(folder, networks=(networks[0], networks[1]))
    return first, second


@pytest.fixture(scope="module")
def expected(bundles: tuple[Path, Path]) -> dict[str, np.ndarray[Any, Any]]:
    """The scores of POOL by version; no two of them are equal."""
    scores = {folder.name: OnnxRuntime(load(folder), "cpu").run(POOL).score for folder in bundles}
    assert len(np.unique(np.concatenate(list(scores.values())))) == 2 * len(POOL)
    return scores


@pytest.fixture(scope="module")
def unchanged(bundles: tuple[Path, Path]) -> Iterator[RunningService]:
    """A service with the first version, for all tests that do not change it."""
    with running_service(bundles[0], admin_keys=KEY_LINE) as running:
        yield running
