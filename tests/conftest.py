"""Fixtures that several tests share."""

from __future__ import annotations

import gc
import os

# Before PyTorch and numpy are loaded, and for the processes that tests start: two workers whose threads wait for each
# other on two cores took 2.6 times as long for a training.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from harmgauge.bundle.load import Bundle, load
from harmgauge.settings import shipped_bundle
from tests.support.process import RunningService, running_service

ROOT = Path(__file__).parent.parent
SHIPPED_BUNDLE = shipped_bundle()

# An example has no deadline: on a busy machine any of them takes long once.
settings.register_profile(
    "busy machine", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None
)
settings.load_profile("busy machine")


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """For `pytest --dist loadfile`, which keeps a file together for its fixtures: likewise what needs the image."""
    if config.getoption("dist") != "loadfile":
        return None
    # Not at the top: xdist may not be there.
    from tests.support.scheduling import ByFile

    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays to the end: Python's collector need not go through it, now or during the tests."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In each process that xdist starts, which all must have the same order."""
    if hasattr(config, "workerinput"):
        from tests.support.scheduling import longest_first

        longest_first(items)


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_products() -> Iterator[None]:
    """As `harmgauge serve` has it: numpy's own threads wait for each other where the cores are busy."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What tests that are coroutines run on: on asyncio alone, as the service does."""
    return "asyncio"


# Toy bundles are built by what loads PyTorch, which the process that shares the tests out does without.
@pytest.fixture(scope="session")
def image_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.toy import toy_bundle

    return toy_bundle(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def image_bundle(image_bundle_path: Path) -> Bundle:
    return load(image_bundle_path)


@pytest.fixture(scope="session")
def error_probability_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `image_bundle_path`, with graphs that give the error probability: in float32 and in 8 bits."""
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
    """CIFAR-10 on this machine; without it the test is skipped, but never in CI."""
    path = Path(os.environ.get("CIFAR10", ROOT.parent / "shared" / "data" / "cifar-10-batches-bin"))
    if not path.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have CIFAR-10 at {path}")
        pytest.skip(f"no CIFAR-10 at {path}; name its folder with CIFAR10=")
    return path
