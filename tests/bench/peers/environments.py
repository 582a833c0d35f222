"""A virtual environment for each peer, made on first use."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from tests.conftest import ROOT

REQUIREMENTS = Path(__file__).parent / "requirements.toml"
FOLDER = ROOT / "build" / "peers"
UV = ROOT / ".venv-uv" / "bin" / "uv"


def packages(peer: str) -> list[str]:
    """The pinned requirements of a peer, with NumPy and ONNX Runtime in the versions of this interpreter."""
    found: list[str] = tomllib.loads(REQUIREMENTS.read_text())[peer]
    return [*found, *(f"{name}=={version(name)}" for name in ("numpy", "onnxruntime"))]


def interpreter(peer: str) -> Path:
    """The interpreter of the peer's environment, which is made if it is missing or has other requirements.

    Raises RuntimeError with the installer's output if the packages cannot be installed.
    """
    folder = FOLDER / peer
    python, installed = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(packages(peer))
    if python.exists() and installed.exists() and installed.read_text() == wanted:
        return python
    sys.stderr.write(f"installing {packages(peer)[0]} into {folder.relative_to(ROOT)} (once) ...\n")
    _run(["make", "--silent", ".venv-uv/installed"])
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
    _run([str(UV), "pip", "install", "--quiet", "--no-config", "--python", str(python), *packages(peer)])
    installed.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
