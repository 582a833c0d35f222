"""README says what the code does: its tables are checked against the code."""

from __future__ import annotations

import re
from pathlib import Path

from harmgauge.settings import PREFIX, Settings, shipped_bundle
from tests.conftest import ROOT
from tests.support.process import running_service, wait_until
from tests.support.readme import README
from tests.support.toy import instances, toy_bundle


def settings_table() -> str:
    """The table of settings, as README must have it."""
    lines = ["| variable | default | what it decides |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "the shipped bundle" if field.default_factory is shipped_bundle else f"`{field.default}`"
        shown = "" if field.default is None else default
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {(field.description or '').strip()} |")
    return "\n".join(lines)


def test_the_settings_table_is_the_codes() -> None:
    assert settings_table() in README, settings_table()


def test_every_metric_is_in_readme_and_the_other_way_round(tmp_path: Path) -> None:
    served = toy_bundle(tmp_path, error_probability=True)
    shadow = toy_bundle(tmp_path, percentile=90.0, error_probability=True)
    with running_service(served, shadow=shadow) as service:
        service.score(instances(200, (4, 4, 3)))
        service.client.post("/score", content=b"")
        wait_until(lambda: "harmgauge_shadow_" in service.client.get("/metrics").text)
        text = service.client.get("/metrics").text
    exported = {match.removeprefix("harmgauge_") for match in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}
    section = README[README.index("## Metrics") : README.index("## Settings")]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert documented == exported


def test_the_cpu_build_of_pytorch_that_it_names_is_the_pinned_one() -> None:
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    named = re.findall(r"\b(torch(?:vision)?==[\d.]+)", README)
    assert len(named) == 2
    assert set(named) <= set(pinned), "make install-dev would replace it"


def test_the_files_it_names_are_there() -> None:
    for path in re.findall(r"[@(](models/[\w./-]+)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"`([\w-]+\.(?:txt|toml|md))`", README):
        assert Path(ROOT / path).is_file(), path
