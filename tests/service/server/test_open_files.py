"""The limit on open files, set for a separate process here."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAY = """
import logging, resource, sys
from harmgauge.server.open_files import room_for_connections
logging.basicConfig(stream=sys.stdout, format="%(message)s")
soft, hard, wanted, others = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for_connections(wanted, others), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "others", "room", "raised"),
    [
        (1000, 1000, 500, 100, 500, 1000),
        (300, 1000, 500, 100, 500, 728),
        (300, 728, 500, 0, 500, 628),
        (100, 428, 500, 0, 300, 428),
        (428, 428, 500, 100, 250, 428),
        (64, 64, 500, 0, 8, 64),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be_and_the_rest_is_shared(
    soft: int, hard: int, wanted: int, others: int, room: int, raised: int
) -> None:
    numbers = [str(number) for number in (soft, hard, wanted, others)]
    done = subprocess.run([sys.executable, "-c", SAY, *numbers], capture_output=True, text=True, check=True, timeout=60)
    *warnings, answer = done.stdout.splitlines()
    assert answer == f"{room} {raised}"
    assert len(warnings) == (room < wanted)
    assert all(f"keeps at most {room} connections" in line for line in warnings)
