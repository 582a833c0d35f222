"""The environment of real processes: settings come only from it."""

from __future__ import annotations

import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from harmgauge.settings import PREFIX, Settings
from tests.support.forking import finished
from tests.support.process import environment, running_service

KUBERNETES = {  # variables that Services called harmgauge and harmgauge-grpc add to every pod of their namespace
    "PORT": "tcp://10.96.0.7:8000",
    "SERVICE_HOST": "10.96.0.7",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "PORT_8000_TCP": "tcp://10.96.0.7:8000",
    "PORT_8000_TCP_ADDR": "10.96.0.7",
    "GRPC_PORT": "tcp://10.96.0.8:8001",
    "GRPC_SERVICE_HOST": "10.96.0.8",
    "GRPC_PORT_8001_TCP_PROTO": "tcp",
}


def check(cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    with chdir(cwd):
        return finished("harmgauge", "check", environment=environment() | variables, timeout=120)


def test_an_empty_variable_is_a_setting_left_out(image_bundle_path: Path, tmp_path: Path) -> None:
    empty = {f"{PREFIX}{name.upper()}": "" for name in Settings.model_fields if name != "bundle"}
    done = check(tmp_path, **empty, HARMGAUGE_BUNDLE=str(image_bundle_path))
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith(f"  {PREFIX}")]
    assert len(told) == len(Settings.model_fields)
    assert [line for line in told if not line.endswith("(default)")] == [
        f"  HARMGAUGE_BUNDLE = {image_bundle_path}  (environment)"
    ]
    assert "capture: off" in done.stdout
    assert not list(tmp_path.iterdir()), "nothing is kept in the working directory"


def test_it_serves_where_variables_are_empty_and_kubernetes_adds_its_own(
    image_bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {name.lower(): value for name, value in KUBERNETES.items() if name != "PORT"}
    empty = dict.fromkeys(("workers", "state_dir", "capture_dir", "api_keys", "shadow", "tls_key", "log_level"), "")
    with running_service(image_bundle_path, **own, **empty) as service:
        assert service.client.get("/readyz").status_code == 200
        assert service.client.get("/info").json()["capture"] is False
    assert not list(tmp_path.iterdir())


def test_kubernetes_own_port_is_not_ours(image_bundle_path: Path, tmp_path: Path) -> None:
    links = {PREFIX + name: value for name, value in KUBERNETES.items()}
    done = check(tmp_path, **links, HARMGAUGE_BUNDLE=str(image_bundle_path))
    assert done.returncode == 0, done.stderr
    assert "HARMGAUGE_PORT = 8000  (default)" in done.stdout
    assert "HARMGAUGE_GRPC_PORT = None  (default)" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "meant"),
    [
        ("harmgauge_port", "9123", "HARMGAUGE_PORT"),
        ("harmgauge_open", "all", "HARMGAUGE_OPEN"),
        ("Harmgauge_Log_Level", "debug", "HARMGAUGE_LOG_LEVEL"),
        ("HARMGAUGE_port", "9123", "HARMGAUGE_PORT"),
        ("harmgauge_prot", "9123", "HARMGAUGE_PORT"),
        ("HARMGAUGE_WINDOW_ROW", "", "HARMGAUGE_WINDOW_ROWS"),
    ],
)
def test_a_name_that_is_spelled_differently_is_refused_with_the_right_one(
    tmp_path: Path, variable: str, value: str, meant: str
) -> None:
    done = check(tmp_path, **{variable: value})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"harmgauge: {variable} is not a setting; did you mean {meant}? (`harmgauge check` lists them all)\n"
    )
