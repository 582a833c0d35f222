"""docs/insects.md: its blocks run as they are, with fewer epochs and blurs, and what it claims holds."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harmgauge.cli.main import main
from tests.conftest import ROOT
from tests.support.data_folders import data_folder
from tests.support.few_rows import few_fitted, few_judged
from tests.support.not_drawn import build_report_not_drawn
from tests.support.process import running_service
from tests.support.readme import page

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", page("insects.md"), re.MULTILINE | re.DOTALL)
SMALL = {"EPOCHS = 100": "EPOCHS = 25", "(0, 4, 8, 16, 32)": "(0, 8, 32)", "--epochs 200": "--epochs 12"}
"""The parts of the page that take minutes, and their replacements."""

SERVE = re.compile(
    r"^HARMGAUGE_BUNDLE=(\S+) HARMGAUGE_WINDOW_ROWS=(\d+) HARMGAUGE_FEATURE_WINDOW_ROWS=(\d+) harmgauge serve$",
    re.MULTILINE,
)


def smaller(block: str) -> str:
    for whole, small in SMALL.items():
        block = block.replace(whole, small)
    return block


@pytest.fixture(scope="module")
def insects_path() -> Path:
    """The photographs on this machine; without them the test is skipped, but never in CI."""
    return data_folder("photographs of ants and bees", "ants-bees", "ANTS_BEES")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, insects_path: Path) -> Iterator[dict[str, Any]]:
    """The variables of the page's Python session at its end; `clone` is where it ran."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "runs").mkdir()
    (folder / "runs" / "hymenoptera_data").symlink_to(insects_path)
    found: dict[str, Any] = {"clone": folder}
    port = 0
    with (
        ExitStack() as services,
        contextlib.chdir(folder),
        warnings.catch_warnings(),
        build_report_not_drawn(),
        few_judged(),
        few_fitted(1000, adjusting=600),
    ):
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch's exporter, about itself
        for language, block in BLOCKS:
            text = smaller(block)
            if served := SERVE.search(text):
                service = running_service(
                    folder / served[1], window_rows=int(served[2]), feature_window_rows=int(served[3])
                )
                port = services.enter_context(service).port
            elif language == "python":
                exec(compile(text.replace("127.0.0.1:8000", f"127.0.0.1:{port}"), "docs/insects.md", "exec"), found)
            elif text.startswith("harmgauge build "):
                assert main(text.split()[1:]) == 0
        yield found
        found["client"].close()


def test_what_it_runs_smaller_is_on_the_page() -> None:
    assert all(page("insects.md").count(whole) == 1 for whole in SMALL)


def test_the_features_drift_and_accuracy_falls_as_the_camera_loses_focus(names: dict[str, Any]) -> None:
    table = names["table"]
    p = [table[radius]["MMD p"] for radius in (0, 8, 32)]
    assert p[0] > 0.01
    assert p[2] == min(p)
    assert p[2] < 0.01
    assert names["accuracy"] > 0.55
    assert table[0]["evidence"] == "ok"


def test_its_figure_is_drawn_and_shown(names: dict[str, Any]) -> None:
    (shown,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page("insects.md"))
    with Image.open(names["clone"] / "runs/insects/isomap.png") as drawn, Image.open(ROOT / "docs" / shown) as kept:
        assert drawn.size == kept.size
