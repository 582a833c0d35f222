"""Free memory, and arrays that keep larger blocks from being freed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from harmgauge.memory import free_in_cgroup_bytes, kept_alive_bytes


def test_all_of_a_body_stays_with_a_view_of_it() -> None:
    body = bytes(4096)
    row = np.frombuffer(body, np.float32, 3).reshape(1, 3)
    assert kept_alive_bytes(row[:1]) == len(body)
    assert kept_alive_bytes(np.frombuffer(memoryview(body)[8:20], np.float32)) == len(body)
    assert kept_alive_bytes(np.zeros(1000, np.uint8)[:2]) == 1000
    assert kept_alive_bytes(row.copy()) == 12


def test_what_a_container_has_left(tmp_path: Path) -> None:
    assert free_in_cgroup_bytes(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert free_in_cgroup_bytes(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_in_cgroup_bytes(tmp_path) == 450
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_in_cgroup_bytes(tmp_path) == 0
    for name in ("memory.max", "memory.current", "memory.stat"):
        (tmp_path / name).unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("700\n")
    (tmp_path / "memory" / "memory.stat").write_text("cache 1\ntotal_inactive_file 20\n")
    assert free_in_cgroup_bytes(tmp_path) == 320


def test_blocks_at_hand_are_not_new_to_the_process() -> None:
    """In a separate process: this one's heap has already held larger blocks."""
    code = (
        "import resource\n"
        "from harmgauge.memory import keep_at_hand\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "if {keep}: keep_at_hand(16 * 2**20)\n"
        "before = faults()\n"
        "blocks = bytearray(b'x') * (16 * 2**20), bytearray(b'x') * (16 * 2**20)\n"
        "print(faults() - before)"
    )
    new, at_hand = (
        int(subprocess.run([sys.executable, "-c", code.format(keep=keep)], capture_output=True, check=True).stdout)
        for keep in (False, True)
    )
    assert at_hand < new / 4
