"""The first command of README on a machine without any preparation: a bare Debian, a fresh clone, the public index."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.support.containers import PYTHON_IMAGE, Containers, free_port, pip_settings, wait_until_ready
from tests.support.tools import on_path

pytestmark = pytest.mark.timeout(1800)  # the first waits for the build


def test_make_serve_gets_ready(containers: Containers, tmp_path: Path) -> None:
    clone = tmp_path / "harmgauge"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(clone)], check=True)
    port = free_port()
    # Debian's Python without pip's settings for this machine's wheels; make is not in the image.
    lent = [*pip_settings(), f"--volume={on_path('make')}:/usr/bin/make:ro", f"--volume={clone}:/clone"]
    command = ["run", "--detach", "--network=host", "--workdir=/clone", *lent, PYTHON_IMAGE]
    name = containers.podman(*command, "make", "serve", f"PORT={port}").strip()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
            wait_until_ready(client, timeout_seconds=600)
            assert client.get("/info").json()["model"] == "cifar10-resnet32"
        assert "torch" not in containers.podman("exec", name, ".venv/bin/python", "-m", "pip", "list")
    finally:
        containers.podman("rm", "--force", "--time=0", name)
