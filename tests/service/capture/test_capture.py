"""From the event loop to files, through the real thread: rows kept, rows dropped, and rows read back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from harmgauge.capture import flagged
from harmgauge.capture import writer as writer_module
from harmgauge.capture.capture import Capture
from harmgauge.capture.flagged import REQUEST_BYTES, ROW_BYTES
from harmgauge.capture.sinks import Folder
from harmgauge.capture.writer import Writer
from harmgauge.inference.caller import Origin, RequestContext
from tests.support.captured_rows import SOURCE, SPEC, Counted, rows_of, scored
from tests.support.process import wait_until

ONE_ROW_BYTES = SPEC.row_bytes + ROW_BYTES + REQUEST_BYTES
"""The accounted size of a request of one row."""


def capture_to(folder: Path, counted: Counted, **options: float) -> Capture:
    writer = Writer(
        Folder(folder, 10**9, None),
        str(folder),
        SPEC,
        counted.metrics,
        file_bytes=int(options.get("file_bytes", 10**6)),
        file_seconds=options.get("file_seconds", 3600.0),
    )
    return Capture(writer, counted.metrics, options.get("ratio", 1.0), int(options.get("queue_bytes", 10**8)))


def put(capture: Capture, flags: list[bool], request_id: str = "r", seed: int = 0) -> None:
    caller = RequestContext(origin=Origin(request_id, "/score", "shop"))
    capture.put(SOURCE, rows_of(len(flags), seed), scored(flags), caller)


def close(capture: Capture, seconds: float = 10.0) -> None:
    asyncio.run(capture.close(seconds))


def read(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_flagged_rows_are_kept_and_no_others(tmp_path: Path) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted)
    capture.start()
    put(capture, [False, True, False, True], "first")
    put(capture, [False, False], "second")
    put(capture, [True], "third", seed=1)
    close(capture)
    rows = read(tmp_path)
    assert [(row["request_id"], row["row"], row["key_name"]) for row in rows] == [
        ("first", 1, "shop"),
        ("first", 3, "shop"),
        ("third", 0, "shop"),
    ]
    assert rows[1]["input"] == rows_of(4)[3].tobytes()
    assert rows[2]["input"] == rows_of(1, seed=1)[0].tobytes()
    assert counted("captured_total") == 3
    assert counted("capture_queue_bytes") == 0


def test_the_rows_of_a_ratio_are_drawn_at_random(tmp_path: Path) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted, ratio=0.25)
    capture.start()
    for _ in range(200):
        put(capture, [True] * 20)
    close(capture)
    rows = read(tmp_path)
    assert counted("captured_total") == len(rows)
    assert abs(len(rows) - 1000) < 6 * np.sqrt(4000 * 0.25 * 0.75), "outside of six standard deviations"
    assert len({row["row"] for row in rows}) == 20, "all positions have their chance"


def test_past_its_bytes_rows_are_dropped_and_counted_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted, queue_bytes=3 * ONE_ROW_BYTES)
    for number in range(10):  # nothing is written before the start
        put(capture, [True], str(number))
    assert counted("capture_queue_bytes") == 3 * ONE_ROW_BYTES
    assert counted("capture_dropped_total", reason="queue_full") == 7
    assert len([each for each in caplog.records if "dropped" in each.message]) == 1
    capture.start()
    close(capture)
    assert counted("capture_queue_bytes") == 0
    assert [row["request_id"] for row in read(tmp_path)] == ["0", "1", "2"]


def test_a_file_is_written_at_its_bytes(tmp_path: Path) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted, file_bytes=10 * ONE_ROW_BYTES)
    capture.start()
    for number in range(25):
        put(capture, [True], str(number))
    wait_until(lambda: counted("captured_total") >= 10)
    close(capture)
    assert sorted(int(row["request_id"]) for row in read(tmp_path)) == list(range(25))
    assert not list(tmp_path.glob(".*"))


def test_a_file_is_written_at_its_age(tmp_path: Path) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted, file_seconds=0.2)
    capture.start()
    put(capture, [True])
    wait_until(lambda: counted("captured_total") == 1)
    assert len(read(tmp_path)) == 1
    close(capture)


def test_what_cannot_be_written_waits_and_is_written_when_the_disk_is_well_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (0.05, 0.1))
    caplog.set_level(logging.INFO)
    counted, blocked = Counted(), tmp_path / "captured"
    blocked.write_text("a file where the folder should be")
    capture = capture_to(blocked, counted, file_seconds=0.05, queue_bytes=2 * ONE_ROW_BYTES)
    capture.start()
    put(capture, [True], "before")
    wait_until(lambda: counted("capture_write_failures_total") >= 3)
    put(capture, [True], "meanwhile")
    put(capture, [True], "too much")
    assert counted("capture_dropped_total", reason="unwritable") == 1
    assert counted("captured_total") == 0
    blocked.unlink()
    wait_until(lambda: counted("captured_total") == 2)
    assert [row["request_id"] for row in read(blocked)] == ["before", "meanwhile"]
    put(capture, [True], "after")
    wait_until(lambda: counted("captured_total") == 3)
    messages = [record.getMessage() for record in caplog.records]
    assert len([each for each in messages if "cannot be written" in each]) == 1
    assert len([each for each in messages if "can be written" in each]) == 1
    close(capture)


def test_the_end_does_not_wait_longer_than_it_may(tmp_path: Path) -> None:
    counted, blocked = Counted(), tmp_path / "captured"
    blocked.write_text("a file where the folder should be")
    capture = capture_to(blocked, counted)
    capture.start()
    put(capture, [True, True])
    close(capture, seconds=0.3)
    assert counted("capture_dropped_total", reason="shutdown") == 2
    blocked.unlink()  # the thread may end now


def test_two_processes_writers_share_a_folder(tmp_path: Path) -> None:
    one, other = capture_to(tmp_path, Counted()), capture_to(tmp_path, Counted())
    for capture in (one, other):
        capture.start()
        put(capture, [True])
    for capture in (one, other):
        close(capture)
    assert len(list(tmp_path.glob("*.parquet"))) == 2


def test_rows_that_there_is_no_memory_for_are_dropped_and_cost_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted)
    capture.start()

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(flagged, "take", fail)
        put(capture, [True, True], "lost")
    assert counted("capture_queue_bytes") == 0
    put(capture, [True], "kept")
    close(capture)
    assert [row["request_id"] for row in read(tmp_path)] == ["kept"]
    assert counted("capture_dropped_total", reason="failed") == 2


def test_the_thread_outlives_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    capture = capture_to(tmp_path, counted, file_seconds=0.0)
    failing = [MemoryError()]

    def tidy() -> None:
        if failing:
            raise failing.pop()

    monkeypatch.setattr(capture._writer._place, "tidy", tidy)
    capture.start()
    wait_until(lambda: counted("capture_write_failures_total") == 1)
    put(capture, [True], "after")
    wait_until(lambda: counted("captured_total") == 1)
    close(capture)
