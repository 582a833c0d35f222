"""docker-compose.yml, checked by compose itself and by its schema; the mounted files, checked by the programs that read
them.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from harmgauge import settings
from harmgauge.settings import Settings
from tests.conftest import ROOT
from tests.support.prometheus import promtool
from tests.support.tools import linter, on_path, run

COMPOSE = ROOT / "docker-compose.yml"


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"][name]
    return found


def mounted(name: str) -> dict[str, Path]:
    """The repository's files and folders by their paths in the container."""
    volumes = (volume.split(":") for volume in service(name)["volumes"])
    return {volume[1]: ROOT / volume[0] for volume in volumes if volume[0].startswith("./")}


def test_compose_takes_it() -> None:
    done = run(on_path("docker-compose"), "config")
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"harmgauge", "prometheus", "grafana"}


def test_the_compose_specification_takes_it() -> None:
    done = run(linter("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout


def test_prometheus_takes_its_configuration_with_the_rules_where_they_are_mounted(tmp_path: Path) -> None:
    for target, source in mounted("prometheus").items():
        assert target.startswith("/etc/prometheus/")
        shutil.copy(source, tmp_path / Path(target).name)
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"SUCCESS: 3 rule files found", done.stdout)
    (job,) = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["harmgauge:8000"]}]
    assert service("harmgauge")["ports"] == ["127.0.0.1:8000:8000"]


def test_grafana_is_given_the_dashboard_and_the_prometheus_it_asks() -> None:
    files = mounted("grafana")
    (provider,) = yaml.safe_load(files["/etc/grafana/provisioning/dashboards/harmgauge.yaml"].read_text())["providers"]
    folder = files[provider["options"]["path"]]
    home = service("grafana")["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    dashboard = json.loads((folder / Path(home).name).read_text())
    (source,) = yaml.safe_load(files["/etc/grafana/provisioning/datasources/harmgauge.yaml"].read_text())["datasources"]
    assert source["isDefault"] is True
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert service(host)["ports"] == [f"127.0.0.1:{port}:{port}"]
    # By the variable of the dashboard, or by the provisioned name.
    asked = {found for found in _data_sources(dashboard) if not found.startswith(("$", "-- "))}
    assert asked <= {source["uid"]}


def _data_sources(part: Any) -> set[str]:
    """The uid of every data source that a part of a dashboard names."""
    if isinstance(part, list):
        return set().union(*map(_data_sources, part))
    if not isinstance(part, dict):
        return set()
    source = part.get("datasource")
    own = {source["uid"]} if isinstance(source, dict) and source.get("type") == "prometheus" else set()
    return own.union(*map(_data_sources, part.values()))


def test_every_port_is_this_machines_only_and_every_variable_a_setting() -> None:
    for name in ("harmgauge", "prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in service(name)["ports"])
        assert service(name)["cap_drop"] == ["ALL"]
    names = {name.removeprefix("HARMGAUGE_").lower() for name in service("harmgauge")["environment"]}
    assert names <= set(Settings.model_fields)


def test_compose_waits_longer_than_the_service_drains() -> None:
    seconds = re.fullmatch(r"(\d+)s", service("harmgauge")["stop_grace_period"])
    assert seconds is not None
    assert int(seconds[1]) >= settings.load({}).drain_seconds + 5
