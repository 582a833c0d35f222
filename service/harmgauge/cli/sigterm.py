"""Handles SIGTERM from the command's first moment.

The first process of a container receives only signals that it handles. The image starts the command with SIGTERM
blocked, so that a signal during Python's own start stays pending until there is a handler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

TERMINATED = 128 + signal.SIGTERM
"""The exit status that a shell reports for a command ended by SIGTERM."""


def end_on_sigterm(words: Sequence[str]) -> None:
    """Exit at once on SIGTERM from now on: with 0 for `serve`, which has nothing in flight yet."""
    status = 0 if words[:1] == ["serve"] else TERMINATED
    signal.signal(signal.SIGTERM, lambda *_: os._exit(status))
    if hasattr(signal, "pthread_sigmask"):  # not available on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
