"""k8s/monitoring and the adapter's rule: the input of the operator, Grafana's sidecar and the autoscaler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.support.prometheus import promtool
from tests.support.tools import linter, only, rendered, run

MONITORING = ROOT / "k8s" / "monitoring"

ROUND_TRIP = """
import json, sys
from cloudcoil.models.prometheus_operator import v1
models = [getattr(v1, given["kind"]).model_validate(given) for given in json.load(sys.stdin)]
print(json.dumps([model.model_dump(by_alias=True, mode="json", exclude_unset=True) for model in models]))
"""


def test_the_operators_own_schemas_keep_every_field() -> None:
    resources = rendered(MONITORING)
    own = [only(resources, kind) for kind in ("ServiceMonitor", "PrometheusRule")]
    done = run(linter("python"), "-c", ROUND_TRIP, text=json.dumps(own))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == own


def test_the_monitor_takes_the_services_port_as_the_job_that_the_rules_know() -> None:
    monitor = only(rendered(MONITORING), "ServiceMonitor")
    service = only(rendered(ROOT / "k8s" / "overlays" / "cpu"), "Service")
    labels = service["metadata"]["labels"]
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == "harmgauge"
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= {
        port["name"] for port in service["spec"]["ports"]
    }


def test_the_dashboard_is_where_the_sidecar_looks() -> None:
    config = only(rendered(MONITORING), "ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads((MONITORING / "dashboards" / "harmgauge.json").read_text())
    assert json.loads(config["data"]["harmgauge.json"]) == dashboard


def test_the_adapters_rule_gives_the_autoscaler_the_mean_of_a_minute_by_pod(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "k8s" / "examples" / "prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["custom"]
    pods = only(rendered(ROOT / "k8s" / "overlays" / "gpu"), "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]
    name, _, _ = rule["seriesQuery"].partition("{")
    assert pods["metric"]["name"] == name
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
    query = rule["metricsQuery"]
    for placeholder, value in {"Series": name, "LabelMatchers": 'namespace="harmgauge"', "GroupBy": "pod"}.items():
        query = query.replace(f"<<.{placeholder}>>", value)
    series = [_series(name, namespace="harmgauge", pod=pod) for pod in "ab"]
    file = tmp_path / "test.yaml"
    unit = {
        "interval": "15s",
        "input_series": [
            {"series": series[0], "values": "0 400 0 800 0 800 0 800 0"},
            {"series": series[1], "values": "8 8 8 8 8 8 8 8 8"},
            {"series": _series(name, namespace="other", pod="c"), "values": "9 9 9 9 9 9 9 9 9"},
        ],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "105s",
                "exp_samples": [{"labels": '{pod="a"}', "value": 400}, {"labels": '{pod="b"}', "value": 8}],
            }
        ],
    }
    file.write_text(json.dumps({"tests": [unit]}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def _series(name: str, **labels: Any) -> str:
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
