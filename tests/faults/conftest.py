"""The bundle whose scores identify their inputs, and the number of rounds of the randomised tests."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from tests.support import faulty
from tests.support.own_value import own_value_bundle


@pytest.fixture(scope="session")
def own_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_value_bundle(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def rounds() -> int:
    """1 in CI; more if HARMGAUGE_FAULT_ROUNDS is set."""
    return int(os.environ.get("HARMGAUGE_FAULT_ROUNDS", "1"))


@pytest.fixture
def _many_files() -> None:
    """This process and its children may open 4096 files, if the machine allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most) if most > 0 else 4096, most))


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that ends every hang."""
    monkeypatch.setenv(faulty.RELEASE, str(tmp_path / "release"))
    return tmp_path / "release"
