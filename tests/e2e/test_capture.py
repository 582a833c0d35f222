"""Capture in the real process: over every protocol, and through swaps, disk failures and shutdown."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc
from tritonclient.grpc import InferInput

from harmgauge.api.grpc import INFER_ROUTE as GRPC_INFER_ROUTE
from harmgauge.api.v2.routes import INFER_ROUTE
from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import load
from tests.support.process import (
    RAW,
    RunningService,
    environment,
    grpc_port,
    run,
    run_here,
    running_service,
    wait_until,
)
from tests.support.swapping import KEY_LINE, POOL, SHAPE, swap
from tests.support.toy import instances, toy_bundle


@pytest.fixture(scope="module")
def half_flagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that flags about every second random input."""
    return toy_bundle(tmp_path_factory.mktemp("half"), percentile=50.0)


def read(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def captured(service: RunningService) -> float:
    return service.metrics()["harmgauge_captured_total"][0][1]


def dropped(service: RunningService, reason: str) -> float:
    by_reason = {labels["reason"]: value for labels, value in service.metrics()["harmgauge_capture_dropped_total"]}
    return by_reason[reason]


def end(service: RunningService) -> None:
    service.terminate()
    assert service.wait() == 0


def test_off_by_default_and_info_says_so(image_service: RunningService) -> None:
    assert image_service.client.get("/info").json()["capture"] is False
    image_service.score(instances(100, SHAPE))
    assert captured(image_service) == 0


def test_what_is_flagged_lies_in_the_folder_whichever_way_it_came(half_flagged: Path, tmp_path: Path) -> None:
    rows = instances(24, SHAPE, seed=3)
    key, line = new_key("shop")
    bundle = load(half_flagged)
    with running_service(
        half_flagged, capture_dir=tmp_path / "captured", grpc_port=0, api_keys=line, client_key=key
    ) as service:
        assert service.client.get("/info").json()["capture"] is True
        answer = service.client.post("/score", content=rows.tobytes(), headers=RAW | {"X-Request-Id": "by-score"})
        v2 = {
            "inputs": [{"name": "input", "shape": [24, *SHAPE], "datatype": "UINT8", "data": rows.reshape(-1).tolist()}]
        }
        for path in ("/v2/models/toy/infer", "/v2/models/toy/versions/1/infer"):
            headers = {"X-Request-Id": "by-v2"}
            assert service.client.post(path, json=v2, headers=headers).status_code == 200
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as client:
            tensor = InferInput("input", list(rows.shape), "UINT8")
            tensor.set_data_from_numpy(rows)
            bearer = {"authorization": f"Bearer {key}"}
            client.infer("toy", [tensor], headers=bearer | {"x-request-id": "by-grpc"})
        end(service)
    document = answer.json()
    flagged = np.flatnonzero(document["is_adversarial"])
    assert 4 < len(flagged) < 20
    found = read(tmp_path / "captured")
    for request_id, route, times in (
        ("by-score", "/score", 1),
        ("by-v2", INFER_ROUTE, 2),
        ("by-grpc", GRPC_INFER_ROUTE, 1),
    ):
        own = [row for row in found if row["request_id"] == request_id]
        assert [row["row"] for row in own] == flagged.tolist() * times
        for row in own:
            assert row["route"] == route
            assert row["key_name"] == "shop"
            assert row["input"] == rows[row["row"]].tobytes()
            assert row["score"] == np.float32(document["scores"][row["row"]])
            assert row["prediction"] == document["predictions"][row["row"]]
            assert row["class_name"] == bundle.manifest.class_names[row["prediction"]]
            assert (row["model"], row["version"], row["sha256"]) == ("toy", "1", bundle.sha256)
            assert row["bundle"] == bundle.key
            assert row["threshold"] == float(bundle.threshold)
            assert abs(time.time() - row["time"].timestamp()) < 60
    assert len(found) == 4 * len(flagged)


def test_a_request_that_gets_no_scores_is_not_captured(half_flagged: Path, tmp_path: Path) -> None:
    rows = instances(20_000, SHAPE, seed=3)
    settings = {"workers": 1, "max_batch_rows": 1, "max_queue_rows": 40_000}
    with running_service(half_flagged, capture_dir=tmp_path, **settings) as service:
        late = {"X-Harmgauge-Deadline-Seconds": "0.000001"}
        assert service.client.post("/score", content=rows.tobytes(), headers=RAW | late).status_code == 504
        with pytest.raises(httpx.ReadTimeout):
            service.client.post("/score", content=rows.tobytes(), headers=RAW, timeout=0.001)
        good = service.score(rows[:20])
        end(service)
    assert len(read(tmp_path)) == sum(good["is_adversarial"])


def test_rows_name_the_bundle_that_scored_them(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with running_service(bundles[0], capture_dir=tmp_path, admin_keys=KEY_LINE) as service:
        first = sum(service.score(POOL)["is_adversarial"])
        assert swap(service, bundles[1]).json()["status"] == "swapped"
        second = sum(service.score(POOL)["is_adversarial"])
        end(service)
    assert first
    assert second
    found = [(row["version"], row["sha256"]) for row in read(tmp_path)]
    expected = [(folder.name, load(folder).sha256) for folder in bundles]
    assert found == [expected[0]] * first + [expected[1]] * second


def test_a_disk_that_fails_costs_no_request_its_answer_and_nothing_but_what_did_not_fit(
    half_flagged: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "captured"
    folder.write_text("no folder")
    with running_service(
        half_flagged,
        capture_dir=folder,
        capture_file_seconds=0.1,
        capture_file_bytes=2**19,
        capture_queue_bytes=2**20,
    ) as service:
        flagged = sum(service.score(instances(100, SHAPE, seed=1))["is_adversarial"])
        wait_until(lambda: service.metrics()["harmgauge_capture_write_failures_total"][0][1] > 0)
        while not dropped(service, "unwritable"):
            flagged += sum(service.score(instances(500, SHAPE, seed=2))["is_adversarial"])
        folder.unlink()
        lost = dropped(service, "unwritable")
        wait_until(lambda: captured(service) == flagged - lost, timeout_seconds=60)
        wait_until(lambda: service.metrics()["harmgauge_capture_queue_bytes"][0][1] == 0)
        end(service)
        said = [line for line in service.log if "captured" in line or "flagged inputs" in line]
        assert len([line for line in said if "cannot be written" in line]) == 1
        assert len([line for line in said if "can be written" in line]) == 1
    assert len(read(folder)) == flagged - lost


def test_two_processes_share_a_folder_and_kill_9_leaves_nothing_that_is_broken(
    half_flagged: Path, tmp_path: Path
) -> None:
    with (
        running_service(half_flagged, capture_dir=tmp_path, capture_file_bytes=20_000) as one,
        running_service(half_flagged, capture_dir=tmp_path, capture_file_bytes=20_000) as other,
    ):
        for _ in range(10):
            for service in (one, other):
                service.score(instances(100, SHAPE, seed=1))
        wait_until(lambda: captured(one) > 0 and captured(other) > 0)
        one.process.kill()
        one.process.wait()
        end(other)
    read(tmp_path)
    tokens = {file.name.split("-")[1] for file in tmp_path.glob("*.parquet")}
    assert len(tokens) == 2


def test_an_address_of_fsspec_takes_files_too(half_flagged: Path, tmp_path: Path) -> None:
    address = f"local://{tmp_path}/captured"  # fsspec's own, which the service does not use for folders
    with running_service(half_flagged, capture_dir=address) as service:
        flagged = sum(service.score(instances(50, SHAPE))["is_adversarial"])
        end(service)
    assert len(read(tmp_path / "captured")) == flagged
    assert f"{flagged} flagged inputs" in run_here("captured", address).stdout


def test_what_cannot_be_is_refused_at_the_start(half_flagged: Path, tmp_path: Path) -> None:
    for settings, said in (
        ({"capture_dir": "nonsense://a"}, "s3://"),
        ({"capture_dir": "s3://a/b", "capture_max_bytes": 2**24}, "HARMGAUGE_CAPTURE_MAX_BYTES"),
        ({"capture_dir": tmp_path, "capture_file_bytes": 2**24, "capture_max_bytes": 2**24}, "two files"),
        ({"capture_dir": tmp_path, "capture_file_bytes": 2**24, "capture_queue_bytes": 2**20}, "QUEUE_BYTES"),
    ):
        done = run("serve", bundle=half_flagged, port=0, **settings)
        assert done.returncode == 1, settings
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_without_arrow_it_is_refused_with_the_remedy_and_off_it_needs_none(half_flagged: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None; from harmgauge.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )

    def without_arrow(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            env=environment(bundle=half_flagged, **settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    for done in (without_arrow("serve", capture_dir=tmp_path), without_arrow("captured", str(tmp_path))):
        assert done.returncode == 1
        assert "pip install 'harmgauge[capture]'" in done.stderr
    assert without_arrow("check").returncode == 0


def test_check_says_where_inputs_go_and_whether_they_can(half_flagged: Path, tmp_path: Path) -> None:
    done = run_here("check", bundle=half_flagged, capture_dir=tmp_path / "captured", capture_ratio=0.5)
    assert f"capture: 50% of the flagged inputs to {tmp_path}/captured" in done.stdout
    shutil.rmtree(tmp_path / "captured")
    (tmp_path / "captured").write_text("no folder")
    done = run_here("check", bundle=half_flagged, capture_dir=tmp_path / "captured")
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
