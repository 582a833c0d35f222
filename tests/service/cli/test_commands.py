"""The setup that commands do before anything else is loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.process import environment, wait_until


def test_sigterm_during_the_start_ends_it_as_it_would_end_later(tmp_path: Path) -> None:
    # The first process of a container gets only signals that it handles: -15 here would be "never" there.
    keys = tmp_path / "keys"
    os.mkfifo(keys)
    writers: list[int] = []

    def waits_for_the_keys() -> bool:
        try:
            writers.append(os.open(keys, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads it yet
            return False
        return True

    process = subprocess.Popen(
        [sys.executable, "-m", "harmgauge", "serve"], env=environment(api_keys_file=keys, port=0)
    )
    try:
        wait_until(waits_for_the_keys, timeout_seconds=60)

        def has_ended() -> bool:
            # Python handles signals before a read, but not between that and the system call; a pipe that
            # nobody writes to blocks it there, unlike a file.
            process.send_signal(signal.SIGTERM)
            return process.poll() is not None

        wait_until(has_ended, timeout_seconds=10)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        for writer in writers:
            os.close(writer)


def test_onnx_runtime_reports_to_nobody_unless_it_is_told_to(image_bundle_path: Path) -> None:
    program = "import os, harmgauge.cli.main as m; m.main(['check']); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in ((None, "1"), ("0", "0")):
        own = {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
        kept = {name: value for name, value in environment(bundle=image_bundle_path).items() if name not in own}
        kept.pop("ORT_DISABLE_TELEMETRY", None)
        done = subprocess.run(
            [sys.executable, "-c", program], env=kept | own, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == expected


def test_a_reader_who_leaves_early_gets_no_traceback(image_bundle_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # gone before the first line
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "harmgauge", "check"],
            env=environment(bundle=image_bundle_path),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")
