"""The processes of clients, and the traffic that each sends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from functools import partial
from typing import Any

from tests.soak.calls import FIRST as FIRST_OF_GRPC
from tests.soak.journal import AccessLog
from tests.soak.stage import Stage
from tests.soak.traffic import Target

STEADY_KINDS = [("raw", 10, 1), ("raw", 2, 8), ("v2-binary", 4, 1), ("v2-binary", 1, 8), ("npy", 2, 1), ("json", 2, 1)]
STEADY_SLOW_KINDS = [("png", 1, 1), ("v2-json", 1, 1)]
RESTARTED_KINDS = [("raw", 6, 1), ("raw", 2, 4), ("v2-binary", 2, 1), ("json", 1, 1)]

RESTARTED_INPUTS = 2**21
SLOW_INPUTS = 2**20
"""Reserved for the restarted service, and for the slower clients of the steady one."""

SLOW_RATE = 100.0
LIGHT_RATE = 200.0


class Clients:
    """A process of clients, and its last report."""

    def __init__(self, targets: list[Target], journal: AccessLog) -> None:
        plan = json.dumps([asdict(target) for target in targets])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.traffic", plan],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._journal = journal
        self.said: dict[str, Any] = {}
        self.key = ""
        """The last key that they were told to use and have confirmed."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def tell(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Stop sending, and wait for the final report."""
        self.tell(stop=True)
        self._reader.join()
        if self._process.wait() != 0:
            self._journal.note("failure", what="a process of clients failed")

    def end(self) -> None:
        """End the process in any case."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "ledgers" in said:
                self._journal.note("ledgers", **said)
            elif "key" in said:
                self.key = said["key"]
            else:
                self.said = said["services"]


def targets(
    stage: Stage, port: int, grpc_port: int, restarted_port: int, rate: float, restarted_rate: float
) -> list[list[Target]]:
    """The targets by process: the first sends most of the single rows to the steady service, the second everything
    else.
    """
    steady = partial(Target, "steady", port, grpc_port, stage.key)
    restarted = partial(Target, "restarted", restarted_port, 0, stage.key)
    keys = {"greedy": stage.greedy_key, "metrics": stage.metrics_key}
    slow = FIRST_OF_GRPC - RESTARTED_INPUTS - SLOW_INPUTS
    rest = slow + SLOW_INPUTS
    return [
        [steady(STEADY_KINDS, 0, slow, rate, LIGHT_RATE)],
        [
            steady(STEADY_SLOW_KINDS, slow, rest, SLOW_RATE, mixed=keys),
            restarted(RESTARTED_KINDS, rest, FIRST_OF_GRPC, restarted_rate),
        ],
    ]
