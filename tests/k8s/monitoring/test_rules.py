"""The rules as a file: promtool's linter accepts it, every alert has the required parts, and the runbook covers it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from monitoring.__main__ import RULE_FILES
from tests.conftest import ROOT
from tests.support.firing import FIRES
from tests.support.prometheus import RULES, promtool

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
RULES_OF_ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "alert" in rule
]
ALERTS = {rule["alert"] for rule in RULES_OF_ALERTS}
OF_THE_FLEET = {"HarmgaugeFleetDriftKs", "HarmgaugeFleetDriftEvidence", "HarmgaugeHarm"}


def test_promtool_finds_nothing_to_complain_about() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_every_alert_is_tested_firing_and_has_a_section() -> None:
    assert len(ALERTS) == 19
    assert set(FIRES) | OF_THE_FLEET == ALERTS
    assert set(SECTIONS) == ALERTS


@pytest.mark.parametrize("alert", RULES_OF_ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_every_alert_says_how_bad_it_is_since_when_and_what_to_do(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert alert["labels"] in ({"severity": "warning"}, {"severity": "critical"})
    assert re.fullmatch(r"\d+m", alert["for"])
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    for part in ("Meaning", "Look", "Causes", "Do", "Silence"):
        assert f"**{part}**" in SECTIONS[name]


def test_the_runbook_links_to_its_own_sections_and_names_only_settings_and_metrics_that_exist() -> None:
    anchors = set(re.findall(r"\]\(#(\w+)\)", RUNBOOK))
    assert anchors == {name.lower() for name in ALERTS}
    code = "".join(path.read_text() for path in (ROOT / "service").rglob("*.py")) + RULES
    for metric in re.findall(r"\bharmgauge_\w+", RUNBOOK):
        stem = re.sub(r"_total$", "", metric.removeprefix("harmgauge_"))
        assert stem in code, metric
    settings = (ROOT / "service" / "harmgauge" / "settings.py").read_text()
    for setting in re.findall(r"HARMGAUGE_(\w+)", RUNBOOK):
        assert f"    {setting.lower()}:" in settings, setting
