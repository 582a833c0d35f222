"""None of our entry points lets ONNX Runtime send telemetry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.process import environment
from tests.support.tools import on_path
from tests.support.toy import instances, linear_network

SHAPE = (4, 4, 3)
SECONDS = 8
"""ONNX Runtime 1.31 looks up the address of its collector some 5 s after it is loaded."""

BUILD = """
import sys, time
from harmgauge.cli.main import main
assert main(["build", "--classifier", "classifier.onnx", "--distilled", "second.onnx", "--calibration",
             "calibration.npz", "--name", "toy", "--out", "bundles"]) == 0
time.sleep({seconds})
"""
CHECK = """
import sys, time
from harmgauge.cli.main import main
assert main(["check"]) == 0
time.sleep({seconds})
"""


@pytest.mark.parametrize("program", [BUILD, CHECK], ids=["build", "check"])
def test_no_socket_leaves(program: str, tmp_path: Path, image_bundle_path: Path) -> None:
    linear_network(tmp_path / "classifier.onnx", SHAPE, 3, 1, scale=0.02)
    linear_network(tmp_path / "second.onnx", SHAPE, 3, 2, scale=0.02)
    np.savez(tmp_path / "calibration.npz", x=instances(200, SHAPE))
    calls = tmp_path / "calls"
    own = environment(bundle=image_bundle_path) | {"PYTHONPATH": str(ROOT)}
    own.pop("ORT_DISABLE_TELEMETRY", None)
    traced = [on_path("strace"), "--follow-forks", "--trace=socket", f"--output={calls}"]
    done = subprocess.run(
        [*traced, sys.executable, "-c", program.format(seconds=SECONDS)],
        env=own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not re.findall(r"socket\(AF_INET6?.*", calls.read_text())


def test_whatever_of_ours_is_imported_switches_it_off_first() -> None:
    for module in (
        "harmgauge.inference.runtime",
        "harmgauge_models.graphs.run",
        "harmgauge_models.graphs.quantise",
        "harmgauge_models.graphs.feature_maps",
    ):
        program = (
            "import builtins, os\n"
            "original = builtins.__import__\n"
            "def watched(name, *rest):\n"
            "    assert name != 'onnxruntime' or os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
            "    return original(name, *rest)\n"
            "builtins.__import__ = watched\n"
            f"import {module}, sys\n"
            "assert 'onnxruntime' in sys.modules\n"
        )
        own = environment()
        own.pop("ORT_DISABLE_TELEMETRY", None)
        done = subprocess.run(
            [sys.executable, "-c", program], env=own, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
