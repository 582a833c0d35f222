"""The real Prometheus, promtool and Alertmanager, from Debian's packages `prometheus` and `prometheus-alertmanager`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.__main__ import rules
from tests.support.process import NO_TLS, wait_until

RULES = rules()


def shortened(rules: str, window: str) -> str:
    """The rules with windows short enough for a test, and without the groups' intervals."""
    return re.sub(r"\n    interval: .*", "", re.sub(r"\[\d+m\]", f"[{window}]", rules))


def binary(name: str) -> str:
    """The path of `name`; if it is missing the test is skipped, but never in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {name}: apt-get install prometheus prometheus-alertmanager")
        pytest.skip(f"{name} is not installed: apt-get install prometheus prometheus-alertmanager")
    return found


def promtool(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool with `text` as its input."""
    return subprocess.run(
        [binary("promtool"), *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )


@dataclass
class RunningPrometheus:
    """A running process and its client."""

    client: httpx.Client

    def query(self, expression: str, at_seconds: float | None = None) -> list[dict[str, Any]]:
        """The samples of an instant vector, now or at a Unix time: each with `metric`, its labels, and `value`."""
        parameters = {"query": expression} | ({} if at_seconds is None else {"time": str(at_seconds)})
        answer = self.client.post("/api/v1/query", data=parameters)
        assert answer.status_code == 200, answer.text
        return [sample | {"value": float(sample["value"][1])} for sample in answer.json()["data"]["result"]]

    def value(self, expression: str, at_seconds: float | None = None) -> float | None:
        """The value of the only sample; None if there is none."""
        found = self.query(expression, at_seconds)
        assert len(found) <= 1, found
        return found[0]["value"] if found else None

    def range(self, expression: str, begin: float, end: float, step_seconds: float = 1) -> list[list[float]]:
        """The values of each series between two Unix times."""
        data = {"query": expression, "start": str(begin), "end": str(end), "step": str(step_seconds)}
        answer = self.client.post("/api/v1/query_range", data=data)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return [[float(value) for _, value in series["values"]] for series in answer.json()["data"]["result"]]

    def label_values(self, label: str, selector: str | None = None) -> list[str]:
        """The values of a label in the series that `selector` selects, or in all."""
        parameters = {} if selector is None else {"match[]": selector}
        answer = self.client.get(f"/api/v1/label/{label}/values", params=parameters)
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["data"]
        return found


@contextmanager
def running_prometheus(
    folder: Path, rules: str, ports: Sequence[int], alertmanager: str | None = None, *, key: str | None = None
) -> Iterator[RunningPrometheus]:
    """Start Prometheus over the replicas at `ports`, scraping and evaluating `rules` each second; end it afterwards.

    `alertmanager` is the address that alerts are sent to; `key` is sent to the replicas.
    """
    (folder / "harmgauge.rules.yaml").write_text(rules)
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["harmgauge.rules.yaml"],
        "scrape_configs": [
            {"job_name": "harmgauge", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
        ],
    }
    if key is not None:
        (folder / "key").write_text(f"{key}\n")
        configuration["scrape_configs"][0]["authorization"] = {"credentials_file": "key"}
    if alertmanager is not None:
        configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    checked = promtool("check", "config", file)
    assert checked.returncode == 0, checked.stderr
    log = folder / "prometheus.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                binary("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stderr=stream,
        )
    try:
        with httpx.Client(base_url=_address(process, log), timeout=10, verify=NO_TLS) as client:
            wait_until(lambda: client.get("/-/ready").status_code == 200, timeout_seconds=30)
            yield RunningPrometheus(client)
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    """Start Alertmanager, which sends each alert to `webhook` at once; yields its address, and ends it afterwards."""
    file = folder / "alertmanager.yml"
    route = {"receiver": "webhook", "group_wait": "0s", "group_interval": "1s", "group_by": ["alertname"]}
    receivers = [{"name": "webhook", "webhook_configs": [{"url": webhook}]}]
    file.write_text(json.dumps({"route": route, "receivers": receivers}))
    log = folder / "alertmanager.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                binary("prometheus-alertmanager"),
                f"--config.file={file}",
                f"--storage.path={folder / 'alertmanager'}",
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ],
            stderr=stream,
        )
    try:
        yield _address(process, log).removeprefix("http://")
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the process listens; returns its address."""
    wait_until(lambda: process.poll() is not None or _port(log), timeout_seconds=30)
    port = _port(log)
    assert port is not None, log.read_text()
    return f"http://127.0.0.1:{port}"


def _port(log: Path) -> str | None:
    """The port that the system chose."""
    found = re.search(r'msg="Listening on" .*address=127\.0\.0\.1:(\d+)', log.read_text())
    return found[1] if found else None
