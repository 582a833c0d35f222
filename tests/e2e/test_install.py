"""The installed package: the service works alone, and nothing collides with packages of the user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from harmgauge.api.assets import read_assets
from harmgauge.page.routes import FOLDER
from harmgauge.settings import DEFAULT_BUNDLE
from tests.conftest import ROOT
from tests.support.process import environment
from tests.support.readme import README, example_files
from tests.support.tools import linter, uv

pytestmark = pytest.mark.timeout(900)

FEW_ROWS = """
import runpy
from harmgauge_models.building import judge
from harmgauge_models.calibration import adjusting, calibrate, singles
judge.MOST_DISTURBED = adjusting.DISTURBED_ROWS = calibrate.DISTURBED_ROWS = 1000
singles.SET_ROWS, singles.STRENGTHS = 50, (1.0,)
runpy.run_module("harmgauge", run_name="__main__", alter_sys=True)
"""
"""`python -m harmgauge` with a `build` that judges its network on few disturbed rows."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone: files that are not committed are not installed."""
    folder = tmp_path_factory.mktemp("source") / "harmgauge"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    if (fast := uv()) is not None:
        command = [fast, "build", "--quiet", "--no-config", "--wheel", "--out-dir"]
    subprocess.run([*command, folder, source], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_files(tmp_path_factory)


@pytest.fixture
def users_folder(tmp_path: Path) -> Path:
    """A folder with the user's own packages, as nearly everyone with a classifier has."""
    folder = tmp_path / "project"
    for name in ("models", "service"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('own {name}')\n")
    return folder


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in environment().items() if name != "PYTHONPATH"} | more
    return subprocess.run(command, env=own, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


def _install(python: Path) -> list[str | Path]:
    """The command that installs into an environment."""
    if (fast := uv()) is not None:
        return [fast, "pip", "install", "--no-config", "--python", python]
    return [sys.executable, "-m", "pip", "--python", python, "install", "--no-compile"]


def test_the_service_alone_checks_its_bundle_beside_the_users_own_packages(
    source: Path, wheel: Path, users_folder: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv")
    bin_folder = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    options: list[str | Path] = ["--quiet", "--constraint", source / "constraints.txt"]
    subprocess.run([*_install(python), *options, f"harmgauge[cpu] @ {wheel.as_uri()}"], check=True)
    commands: list[list[str | Path]] = [[bin_folder / "harmgauge"], [python, "-m", "harmgauge"]]
    for command in commands:
        done = run(*command, "check", cwd=users_folder)
        assert done.returncode == 0, done.stderr
        assert f"bundle {DEFAULT_BUNDLE}" in done.stdout
    code = (
        "from harmgauge.api import assets; from harmgauge.page import routes; print(*assets.read_assets(routes.FOLDER))"
    )
    page = run(python, "-c", code, cwd=users_folder)
    assert set(page.stdout.split()) == set(read_assets(FOLDER)), "the live page goes with the package"
    for name in ("service", "models"):
        elsewhere = run(python, "-c", f"import {name}", cwd=tmp_path)
        assert f"No module named '{name}'" in elsewhere.stderr
    listed = run(*pip, "list", "--format", "freeze", cwd=tmp_path)
    installed = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    assert {"harmgauge", "onnxruntime"} <= installed, listed.stderr
    assert not installed & {"torch", "onnx", "matplotlib", "tqdm", "scikit-learn"}
    offline = run(bin_folder / "harmgauge", "build", "--help", cwd=users_folder)
    assert (offline.returncode, "--calibration" in offline.stdout) == (0, True)
    words = ["--classifier", "a.onnx", "--calibration", "b.npz", "--distilled", "c.onnx", "--name", "mine"]
    missing = run(bin_folder / "harmgauge", "build", *words, cwd=users_folder)
    assert missing.returncode == 2
    assert re.fullmatch(r"harmgauge: build needs \w+: pip install 'harmgauge\[build\]'\n", missing.stderr)


def test_the_wheel_is_small_and_holds_both_packages_and_one_bundle(wheel: Path) -> None:
    assert wheel.stat().st_size <= 8_000_000
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"harmgauge", "harmgauge_models"}
    assert {"harmgauge/py.typed", "harmgauge_models/py.typed"} <= set(names)
    bundles = {"/".join(name.split("/")[2:4]) for name in names if name.startswith("harmgauge/bundles/")}
    assert bundles == {DEFAULT_BUNDLE}


def test_the_sdist_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    pinned = linter("uv")
    done = run(pinned, "build", "--quiet", "--sdist", "--out-dir", tmp_path, source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not {name for name in names if name.startswith(("docs/", "tests/", "k8s/"))}
    done = run(pinned, "build", "--quiet", "--wheel", "--out-dir", tmp_path, sdist, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(zipfile.ZipFile(tmp_path / wheel.name).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_the_demo_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    done = run(linter("uv"), "tool", "run", "--from", f"{wheel}[cpu]", "harmgauge", "demo", "--serve", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "score_evidence fired at image" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("editable", [True, False], ids=["editable", "wheel"])
def test_a_classifier_of_ones_own_is_built_beside_packages_of_ones_own(
    wheel: Path, example: Path, users_folder: Path, tmp_path: Path, editable: bool
) -> None:
    more = {}
    if not editable:  # before the editable one; its dependencies come from this environment
        target = tmp_path / "installed"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
        subprocess.run(install, check=True)
        more = {"PYTHONPATH": str(target)}
        where = run(sys.executable, "-c", "import harmgauge; print(harmgauge.__file__)", cwd=users_folder, **more)
        assert str(target) in where.stdout
    shutil.copytree(example, users_folder, dirs_exist_ok=True)
    (command,) = re.findall(r"^harmgauge (build --classifier .*)$", README, re.MULTILINE)
    words = [*command.split(), "--epochs", "2", "--out", "bundles"]
    built = run(sys.executable, "-c", FEW_ROWS, *words, cwd=users_folder, **more)
    assert built.returncode == 0, built.stderr
    checked = run(
        sys.executable, "-m", "harmgauge", "check", cwd=users_folder, HARMGAUGE_BUNDLE="bundles/mine/1", **more
    )
    assert (checked.returncode, "all is well" in checked.stdout) == (0, True)
