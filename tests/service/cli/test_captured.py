"""`harmgauge captured` as a command, on files written by the service's own code."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

from tests.support.captured_files import NOON, write
from tests.support.process import run_here


def test_it_lists_the_newest_last_and_counts_by_class_and_day(tmp_path: Path) -> None:
    write(tmp_path, NOON - timedelta(days=1), 3, "yesterday")
    write(tmp_path, NOON, 30, "today")
    done = run_here("captured", str(tmp_path), "--rows", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{tmp_path}: 33 flagged inputs match, in 2 files"
    assert [line.split() for line in lines[2:5]] == [
        ["class", "2026-11-20", "2026-11-21", "all"],
        ["cat", "2", "15", "17"],
        ["dog", "1", "15", "16"],
    ]
    newest = [line.split() for line in lines if line.endswith("today")]
    assert [(words[2], words[3], words[4]) for words in newest] == [("28.0000", "cat", "28"), ("29.0000", "dog", "29")]
    assert lines[-1] == f"next: draw them with harmgauge captured {tmp_path} --html sheet.html"


def test_it_takes_the_folder_of_the_settings_and_filters(tmp_path: Path) -> None:
    write(tmp_path, NOON, 10, "one")
    write(tmp_path, NOON, 10, "two")  # replaces it: the same time and number
    options = ["--class", "dog", "--min-score", "3", "--until", "2026-11-22", "--request", "two"]
    done = run_here("captured", *options, capture_dir=tmp_path)
    assert f"{tmp_path}: 4 flagged inputs" in done.stdout
    assert "one" not in done.stdout


def test_of_a_request_it_names_the_files(tmp_path: Path) -> None:
    write(tmp_path, NOON, 3, "mine")
    write(tmp_path, NOON + timedelta(hours=1), 3, "mine")
    write(tmp_path, NOON + timedelta(hours=2), 3, "other")
    *wanted, other = sorted(map(str, tmp_path.iterdir()))
    said = run_here("captured", str(tmp_path), "--request", "mine", "--rows", "1").stdout
    assert all(path in said for path in wanted)
    assert other not in said


def test_it_draws_the_highest_scores_for_its_owner_alone(tmp_path: Path) -> None:
    folder, page = tmp_path / "captured", tmp_path / "sheet.html"
    write(folder, NOON, 30, "noon")
    write(folder, NOON + timedelta(minutes=1), 20, "later")
    page.write_text("an older one")
    page.chmod(0o644)
    done = run_here("captured", str(folder), "--html", str(page), "--rows", "3")
    assert done.returncode == 0, done.stderr
    assert f"made {page}: 3 of 50 flagged inputs" in done.stdout
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text()
    places = [text.index(f"<b>{score}</b>") for score in (29, 28, 27)]
    assert places == sorted(places)
    assert "<b>26</b>" not in text


def test_what_a_client_named_does_not_steer_the_terminal(tmp_path: Path) -> None:
    write(tmp_path, NOON, 1, "\x1b[2Jgone")
    done = run_here("captured", str(tmp_path))
    assert "?[2Jgone" in done.stdout
    assert "\x1b" not in done.stdout


def test_what_cannot_be_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for options, said in (
        ([], "HARMGAUGE_CAPTURE_DIR"),
        ([str(tmp_path / "none")], "cannot be read"),
        ([str(tmp_path), "--since", "yesterday"], "24h"),
        ([str(tmp_path), "--rows", "0"], "at least 1"),
        (["nonsense://a"], "s3://"),
        (["s3://"], "s3://bucket/folder"),
    ):
        done = run_here("captured", *options)
        assert done.returncode == 1, options
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    done = run_here("captured", str(tmp_path))
    assert done.returncode == 1
    assert "no captured inputs" in done.stderr
