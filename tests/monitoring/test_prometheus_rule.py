"""The resource of the Prometheus operator has the same rules as those that promtool tests."""

from __future__ import annotations

import yaml

from monitoring.__main__ import FOLDER
from tests.support.prometheus import RULES


def test_the_resource_holds_the_groups_of_the_rule_file() -> None:
    resource = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text())
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["metadata"]["name"] == "harmgauge"
    assert resource["spec"] == yaml.safe_load(RULES)
    assert len(resource["spec"]["groups"]) == 6
