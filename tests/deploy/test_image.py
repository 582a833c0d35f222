"""The Dockerfile, built by buildah and run by podman with the hardening of a cluster."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.settings import PREFIX
from tests.conftest import ROOT, SHIPPED_BUNDLE
from tests.support.containers import IMAGE, Containers, free_port, wait_until_ready
from tests.support.process import RAW, wait_until
from tests.support.tools import linter, pins, run
from tests.support.toy import toy_bundle

pytestmark = pytest.mark.timeout(1800)  # the first waits for the build

HARDENED = [
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=1g",
    "--pids-limit=256",
]


@contextmanager
def running(containers: Containers, *options: str, **settings: object) -> Iterator[tuple[str, httpx.Client]]:
    """A container of the image and a client of its service, once it is ready; removed afterwards."""
    port = free_port()
    chosen = [
        f"--env={PREFIX}{name.upper()}={value}" for name, value in ({"port": port, "open": "all"} | settings).items()
    ]
    name = containers.podman("run", "--detach", "--network=host", *HARDENED, *options, *chosen, IMAGE).strip()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
            wait_until_ready(client)
            yield name, client
    finally:
        containers.podman("rm", "--force", "--time=0", name)


def in_the_image(containers: Containers, script: str) -> str:
    return containers.podman("run", "--rm", "--network=host", *HARDENED, "--entrypoint=sh", IMAGE, "-c", script)


def images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_hadolint_finds_nothing_to_complain_about() -> None:
    done = run(linter("hadolint"), "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_every_dependency_of_both_images_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = {"base": project["dependencies"], **project["optional-dependencies"]}
    for runtime, files in {"cpu": ["constraints.txt"], "gpu": ["constraints.txt", "constraints-gpu.txt"]}.items():
        extras = ("base", runtime, "grpc", "signing", "tracing")
        wanted = {canonicalize_name(Requirement(line).name) for extra in extras for line in lists[extra]}
        assert wanted <= set(pins(*files))


def test_it_scores_as_the_runtime_does_and_drains_when_it_is_told_to_stop(containers: Containers) -> None:
    rows = images(3000)
    expected = OnnxRuntime(load(SHIPPED_BUNDLE), "cpu").run(rows[:32]).score
    with running(containers, deadline_seconds=60, drain_seconds=60) as (name, client):
        answer = client.post("/score", content=rows[:32].tobytes(), headers=RAW)
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(answer.json()["scores"], expected, rtol=1e-4, atol=1e-5)
        assert containers.run("podman", "healthcheck", "run", name).returncode == 0

        answers: list[httpx.Response] = []
        in_flight = threading.Thread(
            target=lambda: answers.append(client.post("/score", content=rows.tobytes(), headers=RAW))
        )
        in_flight.start()
        wait_until(lambda: _queue_rows(client.get("/metrics").text) > 0)
        containers.podman("stop", "--time=65", name)
        in_flight.join()
        assert answers[0].status_code == 200
        assert len(answers[0].json()["scores"]) == 3000
        assert containers.inspect(name)["State"]["ExitCode"] == 0
        log = containers.run("podman", "logs", name).stderr
        assert "draining" in log
        assert "telemetry" not in log


def _queue_rows(metrics: str) -> float:
    (line,) = (line for line in metrics.splitlines() if line.startswith("harmgauge_queue_rows{"))
    return float(line.rpartition(" ")[2])


def test_a_container_without_its_bundle_ends_and_says_why(containers: Containers) -> None:
    own = [f"--env={PREFIX}BUNDLE=/nowhere", f"--env={PREFIX}OPEN=all"]
    done = containers.run("podman", "run", "--rm", "--network=host", *HARDENED, *own, IMAGE, check=False)
    assert done.returncode == 1
    assert "/nowhere" in done.stderr


def test_a_container_that_nobody_opened_and_without_keys_does_not_start(containers: Containers) -> None:
    done = containers.run("podman", "run", "--rm", "--network=host", *HARDENED, IMAGE, check=False)
    assert done.returncode == 1
    assert "set HARMGAUGE_API_KEYS" in done.stderr


def test_a_bundle_of_ones_own_comes_as_an_image_volume(containers: Containers, tmp_path: Path) -> None:
    bundle = toy_bundle(tmp_path)
    (bundle / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    containers.run("buildah", "build", "--isolation=chroot", "--tag=localhost/bundle:1", bundle)
    volume = "--mount=type=image,source=localhost/bundle:1,destination=/bundle"
    with running(containers, volume, bundle="/bundle") as (_, client):
        assert client.get("/info").json()["sha256"] == load(bundle).sha256


def test_the_process_has_no_rights_and_nothing_to_gain_some_with(containers: Containers) -> None:
    status = in_the_image(containers, "cat /proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == facts["Gid"].split() == ["10001"] * 4
    assert {facts[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    tools = "cc gcc g++ make pip pip3 git curl"
    assert in_the_image(containers, f"for name in {tools}; do command -v $name; done; true") == ""
    assert in_the_image(containers, "find / -xdev -writable -not -type l 2>/dev/null | head") == ""


def test_the_image_says_how_to_run_it(containers: Containers) -> None:
    image = containers.inspect(IMAGE)
    configuration = image["Config"]
    assert configuration["User"] == "10001:10001"  # a number: runAsNonRoot can check it
    assert configuration["StopSignal"] in {"SIGTERM", "15"}
    assert configuration["ExposedPorts"] == {"8000/tcp": {}}
    assert configuration["Entrypoint"] == ["env", "--block-signal=TERM", "harmgauge"]
    assert image["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert "ORT_DISABLE_TELEMETRY=1" in configuration["Env"]
