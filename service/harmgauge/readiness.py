"""Whether the service accepts work, and whether it should be restarted."""

from __future__ import annotations

from harmgauge.errors import NotAlive, NotReady

_STARTING = "starting"


class Readiness:
    """`reason` is why the service refuses work, None while it accepts it; `unready`, reported by probes, is why it
    should not get any; `failure` is why only a restart would help.
    """

    def __init__(self) -> None:
        self.failure: str | None = None
        self._phase: str | None = _STARTING
        self._unable: str | None = None
        self._leaving: str | None = None
        self.reason: str | None = self._phase  # stored rather than computed: every request reads it

    def ready(self) -> None:
        """The service has started; it may have been asked to stop in the meantime."""
        if self._phase == _STARTING:
            self._phase = None
            self.reason = self._unable

    @property
    def unready(self) -> str | None:
        return self.reason or self._leaving

    def leaving(self) -> None:
        """Probes fail from now on; work is accepted until `draining`."""
        self._leaving = "leaving: it keeps serving until load balancers have noticed, and then stops"

    def draining(self) -> None:
        self.reason = self._phase = "draining: it finishes the requests in flight and then stops"

    def works(self, failure: str | None, *, takes_work: bool) -> None:
        """Record a check of inference: the failure, if any, and whether work can be accepted all the same."""
        self.failure = failure
        self._unable = None if takes_work else failure
        self.reason = self._phase or self._unable

    def check(self, *, to_score: bool = True) -> None:
        """Raise NotReady while no work is accepted; with `to_score=False` only while the service starts or drains.

        A service with broken inference can still load a bundle that repairs it.
        """
        self._refuse(self.reason if to_score else self._phase)

    def check_ready(self) -> None:
        """Raise NotReady if no more work should be sent, even while it is still accepted."""
        self._refuse(self.unready)

    def _refuse(self, reason: str | None) -> None:
        if reason is not None:
            raise NotReady(
                f"The service is {reason}; try another replica, or try again when /readyz succeeds.",
                # so that a client that reuses connections moves to another replica at once
                closes=True,
            )

    def check_alive(self) -> None:
        """Raise NotAlive if the process should be restarted."""
        if self.failure is not None:
            raise NotAlive(f"The service is {self.failure}.")
