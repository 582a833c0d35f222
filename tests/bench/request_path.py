"""`python -m tests.bench.request_path`: the path of one `POST /score` through our files, call by call.

In this process, on the event loop's thread, from the ASGI application to the response: the code that a reader must
follow. A call between two of our functions counts; a call of a library does not.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from types import FrameType

import harmgauge
from harmgauge.app import build
from harmgauge.settings import load
from tests.support.asgi import score_raw
from tests.support.toy import instances, toy_bundle

OURS = f"{Path(harmgauge.__file__).parent}/"
SHAPE = (4, 4, 3)


class Walk:
    """Records each call of one of our functions: (file, function)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def note(self, frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(OURS):
            self.calls.append((name.removeprefix(OURS), frame.f_code.co_qualname))


async def walk(bundle: Path) -> list[tuple[str, str]]:
    """The calls of one request in order, (file, function) each; a resumed coroutine counts as a call."""
    service = build(load({"HARMGAUGE_BUNDLE": str(bundle), "HARMGAUGE_WORKERS": "1"}))
    service.readiness.ready()
    body = instances(1, SHAPE).tobytes()
    for _ in range(10):
        assert await score_raw(service, body) == 200
    noted = Walk()
    sys.setprofile(noted.note)
    try:
        assert await score_raw(service, body) == 200
    finally:
        sys.setprofile(None)
    return noted.calls


def returns(calls: list[tuple[str, str]]) -> int:
    """The number of times that the path returns to a file that it has left."""
    visits = [file for index, (file, _) in enumerate(calls) if index == 0 or calls[index - 1][0] != file]
    return len(visits) - len(set(visits))


def main() -> int:
    """Print the calls and their number."""
    with tempfile.TemporaryDirectory() as folder:
        calls = asyncio.run(walk(toy_bundle(Path(folder))))
    for file, function in calls:
        sys.stdout.write(f"{file:<36}{function}\n")
    files = {file for file, _ in calls}
    sys.stdout.write(f"{len(calls)} calls, {len(files)} files, {returns(calls)} returns\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
