"""One process per state folder, whatever is in it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harmgauge.drift.folder_lock import LOCK_FILE, hold, use
from harmgauge.errors import SettingsError

HOLDING = """
import sys
from pathlib import Path
from harmgauge.drift.folder_lock import hold
lock = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert use(tmp_path) == "held"
        with pytest.raises(SettingsError) as refused:
            hold(tmp_path, 0.1)
        other.kill()
    message = str(refused.value)
    assert str(tmp_path) in message
    assert "another process" in message
    assert "its own folder" in message
    assert "\n" not in message
    assert use(tmp_path) == "free"
    hold(tmp_path, 0.1).release()


def test_a_process_that_is_just_ending_is_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING.replace("sys.stdin.read()", "import time; time.sleep(0.3)"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        hold(tmp_path, 60).release()


def test_one_process_may_hold_it_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        lock = hold(tmp_path, 0)
        assert lock.holds
        lock.release()
        lock.release()
        assert not lock.holds


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    assert use(folder) == "missing"
    assert not folder.exists()
    hold(folder).release()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / LOCK_FILE).stat().st_mode & 0o777 == 0o600


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    for folder in (file, file / "state"):
        for call in (hold, use):
            with pytest.raises(SettingsError, match="HARMGAUGE_STATE_DIR=.*cannot be used") as refused:
                call(folder)
            assert "\n" not in str(refused.value)
    assert file.read_text() == "precious"


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """In a separate process: root may write everywhere, and drops its rights for this."""
    tmp_path.chmod(0o555)
    code = (
        "import os, pathlib\n"
        "from harmgauge.drift.folder_lock import hold, use\n"
        "from harmgauge.errors import SettingsError\n"
        "if os.geteuid() == 0: os.chdir({folder!r}); os.setgid(65534); os.setuid(65534)\n"
        "for folder in {places}:\n"
        "    for call in (hold, use):\n"
        "        try: call(pathlib.Path(folder))\n"
        "        except SettingsError as error: print(error)\n"
    )
    places = [".", "./state"] if os.geteuid() == 0 else [str(tmp_path), str(tmp_path / "state")]
    command = [sys.executable, "-c", code.format(folder=str(tmp_path), places=places)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 4
    assert all("Permission denied" in line for line in said)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "dangling link"])
def test_what_is_in_the_locks_place_is_set_aside(tmp_path: Path, kind: str) -> None:
    folder, victim = tmp_path / "state", tmp_path / "victim"
    folder.mkdir()
    place = folder / LOCK_FILE
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        (place / "within").mkdir(parents=True)
    else:
        place.symlink_to(victim)
        if kind == "link":
            victim.write_text("precious")
    assert use(folder) == "free"
    lock = hold(folder, 0.1)
    assert lock.holds
    lock.release()
    assert len(list(folder.glob("*.broken"))) == 1
    assert (victim.read_text() == "precious") if kind == "link" else not victim.exists()


def test_a_file_system_without_locks_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_here(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none_here)
    (tmp_path / "drift-a.npz.0123456789abcdef.unfinished").write_bytes(b"another process may be at it")
    with caplog.at_level(logging.WARNING):
        lock = hold(tmp_path)
    assert not lock.holds
    assert caplog.text.count("does not support file locks") == 1
    assert list(tmp_path.glob("*.unfinished"))
    assert use(tmp_path) == "free"
    lock.release()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept, victim = ["drift-a.npz", "notes.unfinished", "drift-a.npz.1.broken"], tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "state"
    folder.mkdir()
    for name in [*kept, "drift-a.npz.0123456789abcdef.unfinished", "drift-a.unfinished"]:
        (folder / name).write_bytes(b"x")
    (folder / "drift-b.unfinished").symlink_to(victim)
    os.mkfifo(folder / "drift-c.unfinished")
    (folder / "drift-d.unfinished").mkdir()
    hold(folder).release()
    left = {file.name for file in folder.iterdir()}
    assert left == {*kept, LOCK_FILE, "drift-b.unfinished", "drift-c.unfinished", "drift-d.unfinished"}
    assert victim.read_text() == "precious"
