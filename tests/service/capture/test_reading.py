"""Reading captured files: which rows are found, and which are skipped."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.reading import ABOUT, Captured, Wanted, moment
from harmgauge.capture.reading import SPEC as SPEC_COLUMN
from harmgauge.capture.sinks import file_name
from harmgauge.errors import SettingsError
from tests.support.captured_files import NOON, write
from tests.support.captured_rows import SPEC, rows_of


def found(folder: Path, wanted: Wanted, skipped: list[str] | None = None) -> list[tuple[str, int]]:
    """Request and row of each row found."""
    tables = Captured(str(folder)).tables(
        wanted,
        ["request_id", "row"],
        lambda file, why: (skipped if skipped is not None else []).append(f"{file}: {why}"),
    )
    return [(row["request_id"], row["row"]) for row in pa.concat_tables(list(tables)).to_pylist()]


def test_rows_are_found_by_time_class_score_and_request(tmp_path: Path) -> None:
    write(tmp_path, NOON, 4, "noon")
    write(tmp_path, NOON + timedelta(hours=1), 4, "later")
    whole = [("noon", row) for row in range(4)] + [("later", row) for row in range(4)]
    assert found(tmp_path, Wanted()) == whole
    assert found(tmp_path, Wanted(since=NOON)) == whole
    assert found(tmp_path, Wanted(since=NOON + timedelta(seconds=1))) == whole[4:]
    assert found(tmp_path, Wanted(until=NOON + timedelta(hours=1))) == whole[:4]
    assert found(tmp_path, Wanted(class_name="dog", request_id="noon")) == [("noon", 1), ("noon", 3)]
    assert found(tmp_path, Wanted(min_score=1, max_score=3, request_id="later")) == [("later", 1), ("later", 2)]
    assert found(tmp_path, Wanted(request_id="nobody")) == []


def test_each_row_says_what_its_input_is(tmp_path: Path) -> None:
    write(tmp_path, NOON, 2)
    table = next(Captured(str(tmp_path)).tables(Wanted(), ["input"], lambda *_: None))
    assert {InputSpec.model_validate_json(text) for text in table.column(SPEC_COLUMN).to_pylist()} == {SPEC}
    assert table.column("input")[1].as_py() == rows_of(2)[1].tobytes()


def test_files_from_before_a_column_are_read(tmp_path: Path) -> None:
    write(tmp_path, NOON, 2, "new")
    write(tmp_path, NOON + timedelta(hours=1), 3, "old")
    old = tmp_path / file_name((NOON + timedelta(hours=1)).timestamp(), "ff", 0)
    pq.write_table(pq.read_table(old).drop_columns(["error_probability"]), old)
    skipped: list[str] = []
    tables = Captured(str(tmp_path)).tables(Wanted(), ABOUT, lambda *said: skipped.append(str(said)))
    assert [row["request_id"] for row in pa.concat_tables(list(tables)).to_pylist()] == ["new"] * 2 + ["old"] * 3
    assert skipped == []


def test_a_broken_file_is_told_of_and_left_out_and_strange_ones_are_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, NOON, 1)
    (tmp_path / file_name(NOON.timestamp(), "aa", 0)).write_bytes(b"no parquet")
    pq.write_table(pa.table({"time": [1]}), tmp_path / file_name(NOON.timestamp(), "bb", 0))
    (tmp_path / "other.parquet").write_bytes(b"not ours")
    (tmp_path / ".half.parquet.unfinished").write_bytes(b"half")
    skipped: list[str] = []
    assert found(tmp_path, Wanted(), skipped) == [("r", 0)]
    assert len(skipped) == 2
    assert "not written by harmgauge" in skipped[1]


def test_a_file_that_is_deleted_meanwhile_has_no_rows(tmp_path: Path) -> None:
    write(tmp_path, NOON, 1)
    files = Captured(str(tmp_path))
    Path(files.files[0]).unlink()
    skipped: list[str] = []
    tables = list(files.tables(Wanted(), ["row"], lambda *why: skipped.extend(why)))
    assert [table.num_rows for table in tables] == [0]
    assert skipped == []


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Captured(str(tmp_path / "none"))


def test_moments_are_dates_in_utc_or_how_long_ago() -> None:
    assert moment("2026-11-21", NOON) == NOON - timedelta(hours=12)
    assert moment("2026-11-21T12:00+02:00", NOON) == NOON - timedelta(hours=2)
    assert moment("90m", NOON) == NOON - timedelta(minutes=90)
    assert moment("1.5h", NOON) == NOON - timedelta(minutes=90)
    assert moment("7d", NOON) == NOON - timedelta(days=7)
    for bad in ("yesterday", "d", "7w", ""):
        with pytest.raises(ValueError, match="is not a time|could not convert"):
            moment(bad, NOON)
