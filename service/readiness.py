"""Whether the service takes work."""

from __future__ import annotations


class Readiness:
    """`reason` says why not, and is None while it does."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"

    def ready(self) -> None:
        self.reason = None

    def draining(self) -> None:
        self.reason = "draining: it answers what it has and then stops"
