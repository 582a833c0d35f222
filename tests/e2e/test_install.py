"""`pip install .[cpu]` alone serves: nothing from training, from any folder."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

from service.api.assets import read_assets
from service.api.page import FOLDER
from tests.conftest import ROOT
from tests.process import environment


@pytest.mark.timeout(600)
def test_the_package_alone_checks_its_shipped_bundle(tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(source)], check=True)
    venv.create(tmp_path / "venv", with_pip=True)
    bin_folder = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = str(bin_folder / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(source / "constraints.txt")]
    subprocess.run([*install, f"{source}[cpu]"], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [bin_folder / "harmgauge", "check"],
        env=environment(),
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bundle cifar10-resnet32/2" in done.stdout
    code = "from service.api import assets, page; print(*assets.read_assets(page.FOLDER))"
    page = subprocess.run([python, "-c", code], cwd=elsewhere, capture_output=True, text=True, check=True)
    assert set(page.stdout.split()) == set(read_assets(FOLDER)), "the live page goes with the package"
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "freeze"], capture_output=True, text=True, check=True
    )
    installed = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    assert not installed & {"torch", "onnx", "matplotlib", "tqdm", "scikit-learn"}
