"""Columns over HTTP: a shifted one is named, in the answer, in the metrics and after a restart, until acknowledged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harmgauge.bundle.rows import Array
from tests.support.bundles import edit
from tests.support.keys import ADMIN
from tests.support.process import RunningService, run_here, running_service
from tests.support.toy import instances, toy_table_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_table_bundle(tmp_path_factory.mktemp("columns"), columns=3)


def send(service: RunningService, rows: Array) -> None:
    answer = service.client.post("/score", json={"instances": [row.tolist() for row in rows]})
    assert answer.status_code == 200, answer.text


def metric(service: RunningService, name: str, column: str) -> float:
    lines = service.client.get("/metrics").text.splitlines()
    return float(
        next(line for line in lines if line.startswith(f"{name}{{") and f'column="{column}"' in line).split()[-1]
    )


def test_a_shifted_column_is_named_until_it_is_acknowledged(bundle: Path, tmp_path: Path) -> None:
    settings: dict[str, object] = {
        "state_dir": tmp_path / "state",
        "rows_between_false_alarms": 1000,
        "admin_keys": ADMIN[1],
    }
    with running_service(bundle, **settings) as service:
        rows = instances(400, (3,), "float32", seed=5)
        rows[:, 1] += 2
        rows[:5, 2] = 60
        for begin in range(0, 400, 4):
            send(service, rows[begin : begin + 4])
        found = service.client.get("/drift/columns").json()
        assert found["drifting"] >= 1
        assert found["threshold"] == 4000
        top = found["columns"][0]
        assert (top["column"], top["state"], top["direction"]) == ("1", "drifting", "higher")
        assert "`1` higher (middle " in top["sentence"]
        assert {each["column"] for each in found["columns"]} == {"0", "1", "2", "predicted class"}
        assert metric(service, "harmgauge_column_drifting", "1") == 1
        assert metric(service, "harmgauge_column_drifting", "0") == 0
        assert metric(service, "harmgauge_values_out_of_range_total", "2") >= 5
        assert metric(service, "harmgauge_values_missing_total", "0") == 0
        service.terminate()
        assert service.wait() == 0
    with running_service(bundle, **settings) as service:
        again = service.client.get("/drift/columns").json()["columns"][0]
        assert (again["column"], again["since"], again["rows"]) == ("1", top["since"], 400)
        service.client.post("/admin/drift/reset", headers={"Authorization": f"Bearer {ADMIN[0]}"}).raise_for_status()
        assert service.client.get("/drift/columns").json()["drifting"] == 0
        assert metric(service, "harmgauge_column_drifting", "1") == 0


def test_check_counts_them(bundle: Path) -> None:
    checked = run_here("check", bundle=bundle, rows_between_false_alarms=1000)
    assert "columns: 4 with the predicted class; alarm at evidence of 4000\n" in checked.stdout


def test_a_bundle_without_sketches_has_no_columns(bundle: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(bundle, tmp_path / "older"))
    edit(older, lambda manifest: manifest.pop("columns"))
    with running_service(older) as service:
        answer = service.client.get("/drift/columns")
        assert answer.status_code == 404
        assert "has no sketches of its columns: harmgauge calibrate --only columns adds them" in answer.json()["detail"]
        assert "harmgauge_column_drifting" not in service.client.get("/metrics").text
    checked = run_here("check", bundle=older)
    assert "no columns: harmgauge calibrate --only columns adds them\n" in checked.stdout
