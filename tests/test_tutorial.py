"""docs/tutorial.md: its blocks run as they are, on fewer images, and what it claims holds."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, SHIPPED_BUNDLE
from tests.support.process import running_service
from tests.support.readme import page
from tests.support.tools import on_path

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", page("tutorial.md"), re.MULTILINE | re.DOTALL)
SMALL = {"ROWS": 40, "WINDOW": 40, "FEW": 20}
"""Numbers of images; the page's own take minutes."""

SERVE = re.compile(r"^(?:HARMGAUGE_BUNDLE=(\S+) )?harmgauge serve$", re.MULTILINE)


def small(block: str) -> str:
    for name, rows in SMALL.items():
        block = re.sub(rf"^{name} = \d+$", f"{name} = {rows}", block, flags=re.MULTILINE)
    return block


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, cifar10_path: Path) -> Iterator[dict[str, Any]]:
    """What the page's Python session holds at its end; `folder` is where it ran."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "models").symlink_to(ROOT / "models")
    (folder / "runs").mkdir()
    (folder / "runs" / "cifar-10-binary.tar.gz").symlink_to(cifar10_path)  # there already: nothing is downloaded
    found: dict[str, Any] = {"folder": folder}
    port = 0
    with ExitStack() as services:
        for language, text in BLOCKS:
            block = small(text).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            if served := SERVE.search(block):
                services.close()  # as in the page's other terminal, which serves one bundle at a time
                bundle = ROOT / served[1] if served[1] else SHIPPED_BUNDLE
                port = services.enter_context(running_service(bundle, window_rows=SMALL["WINDOW"])).port
            elif language == "python":
                with contextlib.chdir(folder):
                    exec(compile(block, "docs/tutorial.md", "exec"), found)
            elif block.startswith("curl "):
                subprocess.run([on_path("bash"), "-ec", block], cwd=folder, check=True, timeout=120)
        yield found
        found["client"].close()


def column(table: dict[str, dict[str, Any]], name: str) -> list[float]:
    return [row[name] for row in table.values()]


def test_the_sizes_it_runs_at_are_replaced_here() -> None:
    assert all(re.search(rf"^{name} = \d+$", page("tutorial.md"), re.MULTILINE) for name in SMALL)


def test_harmful_images_score_far_higher_at_every_severity_and_highest_at_the_strongest(names: dict[str, Any]) -> None:
    table = names["by_severity"]
    assert list(table) == ["1", "2", "3", "4", "5"]
    accuracy, harmful, harmless = (column(table, name) for name in ("accuracy", "harmful: score", "harmless: score"))
    assert accuracy == sorted(accuracy, reverse=True)
    # So few images do not order neighbouring severities
    assert (min(harmful), max(harmful)) == (harmful[0], harmful[-1])
    assert max(harmless) == harmless[-1]
    assert all(high > 10 * low for high, low in zip(harmful, harmless, strict=True))
    assert min(column(table, "ROC AUC")) > 0.9
    assert min(column(table, "harmful: flagged")) > 0.6
    assert max(column(table, "harmless: flagged")) < 0.2


def test_its_figure_is_drawn_and_shown(names: dict[str, Any]) -> None:
    shown = [ROOT / "docs" / link for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page("tutorial.md"))]
    assert shown
    with Image.open(names["folder"] / "severity.png") as drawn, Image.open(shown[0]) as kept:
        assert drawn.size == kept.size


def test_p_falls_and_the_alarms_come_with_the_share_of_harmful_images(names: dict[str, Any]) -> None:
    table = names["by_share"]
    p, evidence = column(table, "p"), column(table, "evidence")
    assert p[0] > 1e-3
    assert p[-3:] == sorted(p[-3:], reverse=True)
    assert p[-1] < 1e-20
    assert evidence[0] < 1e3
    assert evidence[-1] > 1e9
    for name in ("score_ks", "score_evidence", "harm"):
        assert table["0%"][name] == "ok"
        assert table["100%"][name] == "drifting"


def test_attacks_are_seen_and_corrected_as_it_says(names: dict[str, Any]) -> None:
    table = names["by_attack"]
    assert names["right"].mean() > 0.8
    for row in table.values():
        assert row["accuracy"] < 0.4
        assert row["corrected"] >= row["accuracy"]
    for small_one in ("slide", "pgd 1/255"):
        assert table[small_one]["ROC AUC"] > 0.9
        assert table[small_one]["fooled: flagged"] > 0.8
        assert table[small_one]["corrected"] > 0.7
    assert table["pgd 8/255"]["corrected"] < 0.5, "an autoencoder that sees it would be worth saying"


def test_the_service_corrects_as_the_page_computes(names: dict[str, Any]) -> None:
    answer = names["answer"]
    row = names["by_attack"]["slide"]
    for name, expected in (("no_defense", row["accuracy"]), ("corrected", row["corrected"])):
        assert np.mean(np.array(answer[name]) == names["y"]) == pytest.approx(expected)
