"""The real buildah and podman with their own storage, isolated from the machine's and deleted afterwards."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.support.process import wait_until
from tests.support.tools import on_path

PYTHON_IMAGE = "localhost/python:3.11-slim-bookworm"
IMAGE = "localhost/harmgauge:0.1.0"
"""The image's tag in the manifests."""

# crun, systemd's control groups and the usual limits need privileges that a sandbox lacks.
_ENGINE = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


class Containers:
    """Images and containers in one storage folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "containers.conf").write_text(_ENGINE.format(folder=folder))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        self._environment = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "TMPDIR": str(folder),
        }

    def run(self, *command: str | Path, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run podman, buildah or mmdebstrap; failures include the output."""
        done = subprocess.run(
            [on_path(str(command[0])), *command[1:]],
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done

    def podman(self, *arguments: str | Path) -> str:
        return self.run("podman", *arguments).stdout

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.podman("inspect", name))[0]
        return found

    def build(self, target: str, tag: str) -> None:
        """Build the Dockerfile on a base image made of Debian's packages, because no image registry is used."""
        base = self._folder / "base.tar"
        packages = "python3,python3-venv,python-is-python3,ca-certificates"
        # If it is interrupted, mmdebstrap leaves /proc and /sys mounted in the folder; with its own mount namespace
        # they go too.
        apart = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
        self.run(*apart, "mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", base, timeout=600)
        self.podman("import", base, PYTHON_IMAGE)
        base.unlink()
        how = ["--pull-never", "--isolation=chroot", "--network=host", "--format=docker", *pip_settings()]
        self.run("buildah", "build", *how, f"--target={target}", f"--tag={tag}", ROOT, timeout=900)

    def remove_everything(self) -> None:
        for kind in ("pod rm", "rm --time=0", "volume rm", "rmi"):
            self.run("podman", *kind.split(), "--all", "--force", check=False)


def pip_settings() -> list[str]:
    """Options that give a container this machine's package index configuration, read-only."""
    lent = [file for file in (Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt")) if file.exists()]
    return [f"--volume={file}:{file}:ro" for file in lent]


@contextmanager
def own_storage() -> Iterator[Containers]:
    """An empty storage, deleted afterwards together with everything built and started in it."""
    # Not pytest's own folder: the path of a socket is limited to 108 characters.
    folder = Path(tempfile.mkdtemp(prefix="harmgauge-"))
    containers = Containers(folder)
    try:
        yield containers
    finally:
        containers.remove_everything()
        _unmount(folder)
        shutil.rmtree(folder)


def _unmount(folder: Path) -> None:
    """Unmount everything below the folder, innermost first: deleting through a mount would delete files elsewhere."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted(mounted, reverse=True):
        if Path(point).is_relative_to(folder):
            subprocess.run([on_path("umount"), point], check=True)


def free_port() -> int:
    """A port outside the ephemeral range, so that it stays free until it is bound explicitly."""
    while True:
        port: int = random.randrange(20_000, 32_000)
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port


def wait_until_ready(client: httpx.Client, timeout_seconds: float = 180) -> None:
    """Poll /readyz as the kubelet does."""

    def ready() -> bool:
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(ready, timeout_seconds)
