"""The Deployment of k8s/overlays/cpu as kustomize renders it, run by `podman kube play` with the built image."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT, SHIPPED_BUNDLE
from tests.support.containers import Containers, free_port, wait_until_ready
from tests.support.process import wait_until
from tests.support.tools import only, rendered
from tests.support.toy import instances

pytestmark = pytest.mark.timeout(1800)  # the first waits for the build

CONTAINER = "harmgauge-pod-0-harmgauge"
MODEL = SHIPPED_BUNDLE.parent.name
IMAGE = {"Content-Type": "image/png"}

SAVED = """
import glob, numpy
(file,) = glob.glob("/state/*.npz")
assert len(numpy.load(file)["score_ks/scores"]) == 4
"""


@contextmanager
def playing(containers: Containers, folder: Path, resources: list[dict[str, Any]]) -> Iterator[httpx.Client]:
    """The resources that podman can play, and a client of their service; ended as a cluster would end it."""
    port = free_port()
    container = only(resources, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    container["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}  # there is no Service to reach it by
    file = folder / "play.yaml"
    played = [resource for resource in resources if resource["kind"] in {"ConfigMap", "Deployment"}]
    file.write_text(yaml.safe_dump_all(played))
    containers.podman("kube", "play", file)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_until_ready(client)
            yield client
    finally:
        containers.podman("kube", "down", file)


def test_it_becomes_ready_scores_and_keeps_its_drift_state_over_a_crash(containers: Containers, tmp_path: Path) -> None:
    with playing(containers, tmp_path, rendered(ROOT / "k8s" / "overlays" / "cpu")) as client:
        picture = (SHIPPED_BUNDLE / "report" / "corrupted.png").read_bytes()
        scored = client.post("/score", content=picture, headers=IMAGE)
        assert scored.status_code == 200, scored.text
        assert scored.json()["is_adversarial"] == [True]

        # The Open Inference Protocol under the name in k8s/examples/inference-service.yaml.
        rows = instances(3, (32, 32, 3))
        tensor = {"name": "input", "datatype": "UINT8", "shape": list(rows.shape), "data": rows.ravel().tolist()}
        assert client.get(f"/v2/models/{MODEL}/ready").status_code == 200
        inferred = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": [tensor]})
        assert inferred.status_code == 200, inferred.text

        def state_rows() -> int:
            found: int = client.get("/drift").json()["detectors"]["score_ks"]["rows"]
            return found

        assert state_rows() == 4
        look = ("podman", "exec", CONTAINER, "python", "-c", SAVED)
        wait_until(lambda: containers.run(*look, check=False).returncode == 0, timeout_seconds=60)
        os.kill(containers.inspect(CONTAINER)["State"]["Pid"], signal.SIGKILL)
        wait_until(lambda: containers.inspect(CONTAINER)["RestartCount"] == 1, timeout_seconds=60)
        wait_until_ready(client)
        assert state_rows() == 4

        containers.podman("stop", "--time=20", CONTAINER)
        assert containers.inspect(CONTAINER)["State"]["ExitCode"] == 0


def test_podman_enforces_what_the_manifest_asks_for(containers: Containers, tmp_path: Path) -> None:
    with playing(containers, tmp_path, rendered(ROOT / "k8s" / "overlays" / "cpu")):
        found = containers.inspect(CONTAINER)
        host = found["HostConfig"]
        assert found["Config"]["User"] == "10001:10001"
        assert host["ReadonlyRootfs"] is True
        assert "no-new-privileges" in host["SecurityOpt"]
        assert host["Memory"] == 2**30
        assert host["NanoCpus"] == 2 * 10**9
        status = containers.podman("exec", CONTAINER, "cat", "/proc/1/status")
        assert "CapBnd:\t0000000000000000" in status
        assert "Seccomp:\t2" in status  # a filter: RuntimeDefault
