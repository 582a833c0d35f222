"""docs/capture.md: its columns are those of the files, its examples run, and its statements about settings are true."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from harmgauge.capture.metrics import DROPPED
from harmgauge.capture.table import SCHEMA
from harmgauge.settings import Settings
from tests.conftest import ROOT
from tests.support.captured_files import write
from tests.support.captured_rows import rows_of

DOC = (ROOT / "docs" / "capture.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)


def test_every_column_is_told_of_in_order() -> None:
    section = DOC[DOC.index("## Columns") : DOC.index("The file's metadata")]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == SCHEMA.names


def test_every_reason_for_a_drop_is_told_of() -> None:
    section = DOC[DOC.index("| `reason` |") : DOC.index("The alert `HarmgaugeCaptureFails`")]
    assert re.findall(r"^\| `(\w+)` \| \w", section, re.MULTILINE) == list(DROPPED)


def test_the_settings_it_names_are_settings() -> None:
    for name in re.findall(r"HARMGAUGE_(\w+)", DOC):
        assert name.lower() in Settings.model_fields, name


@pytest.mark.parametrize("example", EXAMPLES, ids=["pandas", "polars-duckdb"])
def test_its_examples_read_what_was_captured(example: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    write(tmp_path / "captured", now - timedelta(minutes=2), 5)
    write(tmp_path / "captured", now, 3)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "to-label" in example:
        found = np.load(tmp_path / "to-label.npz")
        assert found["scores"].tolist() == [4, 3, 2, 2, 1, 1, 0, 0]
        np.testing.assert_array_equal(found["x"][0], rows_of(5)[4])
    else:
        for said in ("cat", "dog", "8"):
            assert said in done.stdout
