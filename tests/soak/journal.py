"""The soak's log: a line of JSON for every event, with its time (monotonic seconds, as clients use them)."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class AccessLog:
    """A journal that many threads may write."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("w")
        self._lock = threading.Lock()

    def note(self, kind: str, **what: Any) -> None:
        line = json.dumps({"kind": kind, "at": time.monotonic(), **what})
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All lines, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()]
