"""SIGTERM from the command's first moment on.

A container's first process receives a signal only if it handles it. The image starts the command with SIGTERM blocked,
so that one that comes as Python itself starts waits until there is a handler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

TERMINATED = 128 + signal.SIGTERM
"""As a shell reports a command that SIGTERM ended."""


def end_on_sigterm(words: Sequence[str]) -> None:
    """End at once on SIGTERM from now on: with 0 if it is `serve`, which has nothing in flight yet."""
    status = 0 if words[:1] == ["serve"] else TERMINATED
    signal.signal(signal.SIGTERM, lambda *_: os._exit(status))
    if hasattr(signal, "pthread_sigmask"):  # not available on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
