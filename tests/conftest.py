"""Fixtures shared by several tests."""

from __future__ import annotations

import functools
import gc
import os
import sys

# Before PyTorch and numpy are loaded, and for the processes that tests start: with two workers on two cores, whose
# threads wait for each other, a training took 2.6 times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from harmgauge.bundle.load import Bundle, load
from harmgauge.settings import shipped_bundle
from tests.support.data_folders import data_folder
from tests.support.process import RunningService, running_service

ROOT = Path(__file__).parent.parent
SHIPPED_BUNDLE = shipped_bundle()

# Examples have no deadline: on a busy machine, any of them is slow at times.
settings.register_profile(
    "busy machine", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None
)
settings.load_profile("busy machine")


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """For `pytest --dist loadfile`, which keeps the tests of a file together for their fixtures: also group the files
    that need the image.
    """
    if config.getoption("dist") != "loadfile":
        return None
    # Not at the top: xdist may not be installed.
    from tests.support.scheduling import ByFile

    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Exempt collected objects from garbage collection: they live to the end, so the collector need not visit them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Reorder the tests in each xdist process; all processes must have the same order."""
    if hasattr(config, "workerinput"):
        from tests.support.scheduling import longest_first

        longest_first(items)


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_products() -> Iterator[None]:
    """Numpy uses one thread, as in `harmgauge serve`: on busy cores its threads wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _torchs_operators_once() -> Iterator[None]:
    """PyTorch's exporter lists its operators once, not again for every export, which takes two thirds of its time.

    Only if PyTorch is loaded anyway, as it is once all tests are collected: the list is the same for every network.
    """
    if "torch" not in sys.modules:
        yield
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests run on asyncio only, as the service does."""
    return "asyncio"


# Imported here, because building toy bundles loads PyTorch, and xdist's controller does not need it.
@pytest.fixture(scope="session")
def image_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.toy import toy_bundle

    return toy_bundle(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def image_bundle(image_bundle_path: Path) -> Bundle:
    return load(image_bundle_path)


@pytest.fixture(scope="session")
def error_probability_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `image_bundle_path`, with the output `error_probability` in the float32 graph and in the 8-bit graph."""
    from tests.support.toy import toy_bundle, two_layers

    folder = tmp_path_factory.mktemp("error_probability")
    networks = (two_layers(folder / "classifier.onnx", 1), two_layers(folder / "second.onnx", 2))
    return toy_bundle(folder, networks=networks, int8=True, error_probability=True)


@pytest.fixture(scope="session")
def vector_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.toy import toy_bundle

    return toy_bundle(tmp_path_factory.mktemp("vector"), shape=(5,), dtype="float32", loss="xent")


@pytest.fixture
def image_service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path) as service:
        yield service


@pytest.fixture(scope="session")
def cifar10_path() -> Path:
    """The CIFAR-10 data on this machine; without it the test is skipped, but never in CI."""
    return data_folder("CIFAR-10", "cifar-10-batches-bin", "CIFAR10")
