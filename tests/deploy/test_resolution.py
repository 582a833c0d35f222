"""Every set of extras resolves to wheels from the index alone, on every platform.

Only metadata is read. uv does not see the files on this machine's disk, and reads none of pip's settings.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT
from tests.support.tools import linter, pins

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LINUX = "x86_64-manylinux_2_28"
OTHER_PLATFORMS = ("aarch64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-pc-windows-msvc")
CPU = ("constraints.txt",)
GPU = ("constraints.txt", "constraints-gpu.txt")

# The choice of an index and the access to it belong to the machine. Other variables of uv could add files or versions.
KEPT = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_HTTP_TIMEOUT", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh cache, so that it holds no wheel built here before; shared, so that the index is queried once."""
    return tmp_path_factory.mktemp("uv")


def resolve(
    cache: Path, python: str, platform: str, extras: tuple[str, ...], constraints: tuple[str, ...], more: str = ""
) -> dict[str, dict[str, Any]]:
    """The packages that uv would install, by name; fails if there is no solution in wheels."""
    command = [
        linter("uv"),
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--no-python-downloads",
        "--format=pylock.toml",
    ]
    command += [f"--cache-dir={cache}", "--only-binary=:all:", f"--python-version={python}"]
    command += [f"--python-platform={platform}", "pyproject.toml", "-"]
    command += [f"--extra={extra}" for extra in extras] + [f"--constraint={file}" for file in constraints]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_") or name in KEPT}
    # uv assumes macOS 13, which Apple no longer supports; ONNX Runtime's wheels require 14.
    environment["MACOSX_DEPLOYMENT_TARGET"] = "14.0"
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=more, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return {package["name"]: package for package in tomllib.loads(done.stdout)["packages"]}


def versions(packages: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: package["version"] for name, package in packages.items()}


def comes_from_an_index(package: dict[str, Any]) -> bool:
    wheels = package.get("wheels", [])
    return bool(wheels) and all(urlsplit(wheel.get("url", "")).scheme in {"http", "https"} for wheel in wheels)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_service_runs_on_pinned_versions_only(cache: Path, python: str) -> None:
    packages = resolve(cache, python, LINUX, ("cpu",), CPU)
    assert "onnxruntime" in packages
    assert versions(packages).items() <= pins(*CPU).items()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", OTHER_PLATFORMS)
def test_the_service_resolves_on_other_platforms(cache: Path, platform: str, python: str) -> None:
    found = versions(resolve(cache, python, platform, ("cpu",), CPU))
    unpinned = set(found.items()) - set(pins(*CPU).items())
    # required by click, only on Windows: the versions that were tested together were tested on Linux
    assert {name for name, _ in unpinned} <= {"colorama"}
    assert ("uvloop" in found) == ("windows" not in platform)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_development_environment_resolves_with_the_indexs_own_pytorch(cache: Path, python: str) -> None:
    packages = resolve(cache, python, LINUX, ("cpu", "train", "dev"), CPU)
    assert [name for name, package in packages.items() if not comes_from_an_index(package)] == []
    assert packages["torch"]["version"] == pins(*CPU)["torch"]
    # A CPU build, as may be on a disk, needs none of NVIDIA's libraries and would hide a pin that excludes them.
    assert "nvidia-cudnn-cu13" in packages


@pytest.mark.parametrize("python", PYTHONS)
def test_the_service_for_gpus_runs_on_pinned_versions_only(cache: Path, python: str) -> None:
    """As in the Dockerfile, with NVIDIA's libraries."""
    found = versions(resolve(cache, python, LINUX, ("gpu",), GPU, more="onnxruntime-gpu[cuda,cudnn]"))
    assert {"onnxruntime-gpu", "nvidia-cudnn-cu13"} <= set(found)
    assert "onnxruntime" not in found
    assert found.items() <= pins(*GPU).items()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("runtime", ["cpu", "gpu"])
def test_the_service_resolves_without_constraints(cache: Path, runtime: str, python: str) -> None:
    packages = resolve(cache, python, LINUX, (runtime,), ())
    assert {"onnxruntime", "onnxruntime-gpu"} & set(packages) == {"onnxruntime" + "-gpu" * (runtime == "gpu")}


@pytest.mark.parametrize("python", PYTHONS[:-1])
def test_the_service_resolves_on_an_intel_mac_without_constraints(cache: Path, python: str) -> None:
    """With an older ONNX Runtime, as docs/install.md says."""
    found = versions(resolve(cache, python, "x86_64-apple-darwin", ("cpu",), ()))
    assert found["onnxruntime"] != pins(*CPU)["onnxruntime"]


def test_it_says_what_does_not_go_together(cache: Path) -> None:
    """The conflict that is the reason for constraints-gpu.txt: the two sets exclude each other, and uv reports it."""
    with pytest.raises(AssertionError, match="nvidia-"):
        resolve(cache, PYTHONS[0], LINUX, ("cpu", "train"), GPU)
