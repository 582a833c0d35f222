"""Named causes: the one corrupted source and the one shifted column of an evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge_models.evaluation.broken_source import broken_source_table
from harmgauge_models.evaluation.cause_trials import Trials
from harmgauge_models.evaluation.causes import causes_table
from harmgauge_models.evaluation.causes_section import causes_section
from harmgauge_models.evaluation.evaluate import NUMBERS_FILE, PAGE_FILE
from harmgauge_models.evaluation.measure import CLEAN, Measured
from harmgauge_models.evaluation.plan import QUICK
from harmgauge_models.evaluation.shifted_column import SHIFT, shifted_column_table
from harmgauge_models.evaluation.work import Work
from tests.support.toy import instances, toy_table_bundle

PLAN = replace(QUICK, cause_streams=3, most_cause_rows=1500)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_table_bundle(tmp_path_factory.mktemp("table"), columns=3)


def rows_like(scores: Any, errors: Any = None) -> Measured:
    return Measured({"score": scores}, np.zeros(len(scores), np.int64), None, None, errors)


def trials(bundle: Path, work: Path) -> Trials:
    return Trials(load(bundle), PLAN, Work(work), seed=0)


def test_the_shifted_column_is_named_first_and_clean_ones_are_not(table: Path, tmp_path: Path) -> None:
    x = instances(2000, (3,), "float32", seed=8)
    found = shifted_column_table(trials(table, tmp_path), x, np.zeros(2000, np.int64) + (x[:, 0] > 0))
    assert found is not None
    assert found["shift"] == SHIFT == 0.5
    assert list(found["by_column"]) == ["0", "1", "2"]
    for entry in found["by_column"].values():
        assert entry["named"] == 3
        assert 50 < entry["median_rows"] < 800


def test_the_corrupted_source_is_named_and_no_other(table: Path, tmp_path: Path) -> None:
    reference = load(table).reference.scores
    random = np.random.default_rng(0)
    clean = rows_like(random.choice(reference, 1000))
    measured = {
        CLEAN: clean,
        ("broken", 3): rows_like(np.full(200, reference[-1])),
        ("harmless", 3): clean,
        ("other level", 1): clean,
    }
    found = broken_source_table(trials(table, tmp_path), measured, 3)
    assert (found["sources"], found["baseline_rows"]) == (10, 500)
    assert list(found["by_kind"]) == ["broken", "harmless"]
    assert found["by_kind"]["broken"].pop("median_rows") <= 10
    assert found["by_kind"]["broken"] == {"named": 3, "by_harm": 0, "other_names": 0}
    assert found["by_kind"]["harmless"] == {"median_rows": 1500, "named": 0, "by_harm": 0, "other_names": 0}


def test_the_results_are_kept_and_no_simulated_alarm_is_logged(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x = instances(300, (3,), "float32", seed=8)
    scores = np.random.default_rng(0).choice(load(table).reference.scores, 300)
    measured = {CLEAN: rows_like(scores), ("broken", 0): rows_like(scores + 100)}
    few = replace(trials(table, tmp_path), plan=replace(PLAN, cause_streams=1, most_cause_rows=100))
    first = causes_table(few, x, measured, 0)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert {path.name.rsplit("-", 1)[0] for path in files} == {
        "source-broken", "column-clean", "column-0", "column-1", "column-2"
    }  # fmt: skip
    assert causes_table(few, x, measured, 0) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == files
    assert "drifting" not in caplog.text
    quality: dict[str, Any] = {"causes": first, "delays": {"severity": "any"}, "rows": {"rows": 300}}
    section = causes_section(quality)
    assert "One corrupted source" in section
    assert "One shifted column" in section


def test_a_bundle_without_sketches_has_no_columns(table: Path, tmp_path: Path) -> None:
    bundle = replace(load(table), sketches=None)
    without = Trials(bundle, PLAN, Work(tmp_path), seed=0)
    assert shifted_column_table(without, instances(300, (3,), "float32"), np.zeros(300, np.int64)) is None


def test_the_report_has_the_section(evaluated: Path) -> None:
    quality = json.loads((evaluated / NUMBERS_FILE).read_text())
    found = quality["causes"]
    assert (found["streams"], found["most_rows"]) == (QUICK.cause_streams, QUICK.most_cause_rows)
    assert set(found["sources"]["by_kind"]) == set(QUICK.kinds)
    assert found["columns"] is None  # pictures
    page = (evaluated / PAGE_FILE).read_text()
    assert "Which source, which column?" in page
    assert "gaussian noise" in page
