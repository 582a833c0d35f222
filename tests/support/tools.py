"""Programs that check or run the deployment: a test is skipped if its program is missing, but never in CI."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

_ENVIRONMENT = ROOT / ".venv-deploy" / "bin"


def on_path(name: str) -> str:
    """The path of a program installed on the system."""
    return _found(shutil.which(name), name, "apt install, as .ci/run does (kubectl: of Kubernetes)")


def linter(name: str) -> str:
    """The path of a program in the environment for linters."""
    return _found(shutil.which(name, path=str(_ENVIRONMENT)), name, "make install-deploy")


def _found(path: str | None, name: str, remedy: str) -> str:
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {name}: {remedy}")
        pytest.skip(f"{name} is not installed: {remedy}")
    return path


def make(target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make` in the root of the repository.

    One at a time, because two processes must not create the same environment at once.
    """
    with (ROOT / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", target, *variables]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@functools.cache
def uv() -> str | None:
    """The path of uv, which builds and installs with a fraction of pip's CPU time; None if it cannot be installed."""
    make(".venv-uv/installed")
    return shutil.which("uv", path=str(ROOT / ".venv-uv" / "bin"))


def run(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in the root of the repository, with `text` as its input."""
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=120, check=False)


def pins(*files: str) -> dict[str, str]:
    """The version of every package that these constraints files pin, by its canonical name."""
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(line.name): str(line.specifier) for line in map(Requirement, lines)}
    assert len(pinned) == len(lines), "a package is pinned twice"
    assert all(version.startswith("==") for version in pinned.values())
    return {name: version.removeprefix("==") for name, version in pinned.items()}


def rendered(folder: Path) -> list[dict[str, Any]]:
    """The resources that `kubectl apply -k folder` would apply."""
    done = run(on_path("kubectl"), "kustomize", folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


def only(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only resource of that kind."""
    (found,) = (resource for resource in resources if resource["kind"] == kind)
    return found
