"""README and the reference pages agree with the code: their tables, commands and file names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.process import running_service, wait_until
from tests.support.readme import README, page
from tests.support.settings_table import settings_table
from tests.support.toy import instances, toy_bundle

PAGES = {"README.md": README, "install.md": page("install.md"), "own-classifier.md": page("own-classifier.md")}


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 170


def test_the_settings_table_is_the_codes() -> None:
    wrong = "python -m tests.support.settings_table writes it again"
    assert settings_table() in page("reference/settings.md"), wrong


def test_every_metric_is_in_the_reference_and_the_other_way_round(tmp_path: Path) -> None:
    served = toy_bundle(tmp_path, error_probability=True)
    shadow = toy_bundle(tmp_path, percentile=90.0, error_probability=True)
    with running_service(served, shadow=shadow) as service:
        service.score(instances(200, (4, 4, 3)))
        service.client.post("/score", content=b"")
        wait_until(lambda: "harmgauge_shadow_" in service.client.get("/metrics").text)
        text = service.client.get("/metrics").text
    exported = {match.removeprefix("harmgauge_") for match in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}
    cells = [line.split("|")[1] for line in page("reference/metrics.md").splitlines() if line.startswith("| `")]
    documented = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert documented == exported | {"values_unseen_total"}, "which only bundles with categories have"


def test_the_cpu_build_of_pytorch_that_it_names_is_the_pinned_one() -> None:
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    named = re.findall(r"\b(torch(?:vision)?==[\d.]+)", page("install.md"))
    assert len(named) == 2
    assert set(named) <= set(pinned), "make install-dev would replace it"


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_the_files_it_names_are_there(text: str) -> None:
    for path in re.findall(r"[@(](models/[\w./-]+)", text):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"`([\w-]+\.(?:txt|toml|md))`", text):
        assert Path(ROOT / path).is_file(), path
