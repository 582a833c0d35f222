"""Whether the service takes work."""

from __future__ import annotations

from service.errors import NotReady


class Readiness:
    """`reason` says why not, and is None while it does."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"

    def ready(self) -> None:
        self.reason = None

    def draining(self) -> None:
        self.reason = "draining: it answers what it has and then stops"

    def check(self) -> None:
        """Raise NotReady while no work is taken."""
        if self.reason is not None:
            raise NotReady(f"The service is {self.reason}; ask another replica, or again when /readyz says so.")
