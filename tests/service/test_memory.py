"""What an array keeps from being freed."""

from __future__ import annotations

import numpy as np

from harmgauge.memory import kept_alive_bytes


def test_all_of_a_body_stays_with_a_view_of_it() -> None:
    body = bytes(4096)
    row = np.frombuffer(body, np.float32, 3).reshape(1, 3)
    assert kept_alive_bytes(row[:1]) == len(body)
    assert kept_alive_bytes(np.frombuffer(memoryview(body)[8:20], np.float32)) == len(body)
    assert kept_alive_bytes(np.zeros(1000, np.uint8)[:2]) == 1000
    assert kept_alive_bytes(row.copy()) == 12
