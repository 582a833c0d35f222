"""Lower bounds are true: the service starts on the lowest versions that pyproject.toml allows.

`make test-lowest` runs these tests, and those of HTTP and of every extra against a service on the same versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT
from tests.deploy.tools import pins
from tests.process import environment

BIN = ROOT / ".venv-lowest" / "bin"
EXTRAS = ("cpu", "capture", "grpc", "signing", "tracing")


@pytest.fixture
def python() -> Path:
    if not (BIN / "python").exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have the lowest versions: make install-lowest")
        pytest.skip("the lowest versions are not installed: make install-lowest")
    return BIN / "python"


def test_every_direct_dependency_is_older_than_the_pinned_one(python: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    wanted = [line for line in map(Requirement, lines) if line.marker is None or line.marker.evaluate()]
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {canonicalize_name(package["name"]): package["version"] for package in json.loads(listed.stdout)}
    for line in wanted:
        version = installed[canonicalize_name(line.name)]
        assert line.specifier.contains(version), f"{line}: {version}"
        assert Version(version) < Version(pins("constraints.txt")[canonicalize_name(line.name)]), f"{line}: {version}"


def test_the_shipped_bundle_is_checked_and_run_on_them(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python.with_name("harmgauge"), "check"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "all is well" in done.stdout
