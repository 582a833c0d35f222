"""Bounds the bytes of all unanswered requests, in total and per holder; small requests are always admitted.

A holder is a key or, without keys, a connection.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable

from harmgauge.errors import Overloaded, TooLarge

SMALL_BYTES = 16 * 2**10
"""Requests up to this size are not counted. Their number is bounded by that of connections."""

SHARE = 4
"""A holder may have a quarter of all bytes, and may always have one request if it has no others."""


PATIENCE_SECONDS = 10.0
"""A client that takes longer than this for a body or a response gives way to one that needs the memory."""


class Claim:
    """The bytes that one request holds, as (holder, bytes)."""

    def __init__(self, holder: Hashable) -> None:
        self.holder = holder
        self.size_bytes = 0
        self.give_up: Callable[[], None] | None = None
        self._waits_since = 0.0

    def waits_for_client(self, give_up: Callable[[], None] | None) -> None:
        """Mark the start of a wait for the client, which `give_up` can end; None marks its end."""
        self.give_up = give_up
        self._waits_since = time.monotonic()

    def is_late(self) -> bool:
        return self.give_up is not None and self._waits_since < time.monotonic() - PATIENCE_SECONDS


class Budget:
    """Grants at most `total_bytes` to all claims together. For use on one event loop."""

    def __init__(self, total_bytes: int, largest_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.share_bytes = max(total_bytes // SHARE, largest_bytes)
        self.held_bytes = 0
        self._by_holder: defaultdict[Hashable, int] = defaultdict(int)
        self._claims: dict[Claim, None] = {}

    def resize(self, claim: Claim, size_bytes: int) -> None:
        """Set the claim to this size. Raises Overloaded if that exceeds its holder's share or, with all others, the
        total; TooLarge if the claim alone exceeds the total. Even then the claim holds the bytes and must be released.
        """
        self.held_bytes += size_bytes - claim.size_bytes
        self._by_holder[claim.holder] += size_bytes - claim.size_bytes
        claim.size_bytes = size_bytes
        self._claims[claim] = None
        if size_bytes > self.total_bytes:
            raise TooLarge(
                f"This request needs {size_bytes} bytes of memory; all requests together may use {self.total_bytes} "
                "(HARMGAUGE_MAX_BODIES_BYTES): send fewer instances at once, or leave 'probabilities' out.",
                closes=True,
            )
        of_holder = self._by_holder[claim.holder]
        if size_bytes < of_holder > self.share_bytes:
            raise _overloaded(
                f"Your unanswered requests hold {of_holder} bytes; the limit is {self.share_bytes}, a share of "
                "HARMGAUGE_MAX_BODIES_BYTES."
            )
        while self.held_bytes > self.total_bytes:
            largest = max(self._claims, key=self._rank)
            give_up = largest.give_up
            if give_up is None or not (largest.is_late() or self._by_holder[largest.holder] > of_holder):
                raise _overloaded(
                    f"Unanswered requests already hold all {self.total_bytes} bytes of HARMGAUGE_MAX_BODIES_BYTES."
                )
            self.release(largest)
            give_up()

    def shrink(self, claim: Claim, size_bytes: int) -> None:
        """Reduce the claim to this size; this is never refused."""
        size_bytes = min(size_bytes, claim.size_bytes)
        self.held_bytes += size_bytes - claim.size_bytes
        self._by_holder[claim.holder] += size_bytes - claim.size_bytes
        claim.size_bytes = size_bytes

    def release(self, claim: Claim) -> None:
        """Release all bytes of the claim. Repeated calls have no effect."""
        if claim in self._claims:
            del self._claims[claim]
            self.held_bytes -= claim.size_bytes
            self._by_holder[claim.holder] -= claim.size_bytes
            claim.size_bytes = 0
            if not self._by_holder[claim.holder]:
                del self._by_holder[claim.holder]

    def _rank(self, claim: Claim) -> tuple[bool, bool, int, int]:
        """Order of eviction: claims that wait for a client first, then those that have waited too long, then by the
        holder's total, then by size.
        """
        return claim.give_up is not None, claim.is_late(), self._by_holder[claim.holder], claim.size_bytes


def _overloaded(why: str) -> Overloaded:
    return Overloaded(f"{why} Try again later.", retry_after_seconds=1, closes=True)
