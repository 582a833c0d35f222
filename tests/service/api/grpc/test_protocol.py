"""The protocol's messages and names in the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harmgauge.api.grpc import INFER_ROUTE, protocol
from tests.conftest import ROOT

SERVICE = ROOT / "service" / "harmgauge"


def test_the_description_is_that_of_the_proto(tmp_path: Path) -> None:
    made = tmp_path / "made.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--descriptor_set_out={made}", "open_inference.proto"]
    subprocess.run(command, cwd=SERVICE / "api" / "grpc", check=True)
    assert made.read_bytes() == (SERVICE / "api" / "grpc" / "open_inference.binpb").read_bytes(), "run `make proto`"


def test_the_live_page_counts_its_requests_by_this_name() -> None:
    service_name, _, call = INFER_ROUTE.removeprefix("/").partition("/")
    assert service_name == protocol.SERVICE
    assert call in protocol.methods()
