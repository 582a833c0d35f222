"""The lower bounds are correct: a bundle is built, checked and served on the lowest versions in pyproject.toml.

`make test-lowest` runs these tests, and others against a service on the same versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT
from tests.support.process import environment
from tests.support.tools import pins
from tests.support.toy import instances, two_layers

BIN = ROOT / ".venv-lowest" / "bin"
EXTRAS = ("cpu", "build", "capture", "grpc", "signing", "tracing")


@pytest.fixture
def python() -> Path:
    if not (BIN / "python").exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have the lowest versions: make install-lowest")
        pytest.skip("the lowest versions are not installed: make install-lowest")
    return BIN / "python"


def test_every_direct_dependency_is_older_than_the_pinned_one_if_it_may_be(python: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    wanted = [line for line in map(Requirement, lines) if line.marker is None or line.marker.evaluate()]
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {canonicalize_name(package["name"]): package["version"] for package in json.loads(listed.stdout)}
    pinned_versions = pins("constraints.txt")
    for line in wanted:
        version = Version(installed[canonicalize_name(line.name)])
        pinned = Version(pinned_versions[canonicalize_name(line.name)])
        assert line.specifier.contains(version), f"{line}: {version}"
        (bound,) = [Version(part.version) for part in line.specifier if part.operator == ">="]
        assert version < pinned or bound >= pinned, f"{line}: {version}"


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


def test_a_bundle_with_eight_bits_is_built_on_them(python: Path, tmp_path: Path) -> None:
    for name, seed in {"classifier": 1, "second": 2}.items():
        two_layers(tmp_path / f"{name}.onnx", seed)
    np.savez(tmp_path / "calibration.npz", x=instances(600, (4, 4, 3)))
    words = ["--classifier=classifier.onnx", "--distilled=second.onnx", "--calibration=calibration.npz"]
    words += ["--name=toy", "--out=bundles", "--int8"]
    for command in (["build", *words], ["check"]):
        done = subprocess.run(
            [python.with_name("harmgauge"), *command],
            env=environment(bundle=tmp_path / "bundles" / "toy" / "1", precision="int8"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
