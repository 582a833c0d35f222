"""The names of the monitored sources, each with a slot in the columns, and the choice of the one that leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harmgauge.drift.sources.columns import Columns
from harmgauge.inference.caller import Name

log = logging.getLogger(__name__)

NOWHERE = -1
"""The slot of a source that is not monitored."""


class Table:
    """At most `most` sources.

    When all slots are taken, a new source replaces the one that has been silent for longest, among those of a key that
    has more than its share. The shares of all keys with a source are equal: names invented under one key never replace
    those of another. Sources with evidence of at least `protected` leave last, and named ones never. `left` is called
    with the slot of a source that leaves.
    """

    def __init__(self, most: int, protected: float, left: Callable[[int], None]) -> None:
        self.columns = Columns.empty(most)
        self.names: list[Name] = []
        """By slot."""
        self._most = most
        self._protected = protected
        self._left = left
        self._slots: dict[Name, int] = {}
        self._keys: dict[str, int] = {}
        self._key_of = np.zeros(most, np.int32)
        self._latest = 0.0
        self._is_full_logged = False
        self.turned_away = 0
        """Requests whose source had no slot."""

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: Name) -> int | None:
        """The slot of a source; None if it is not monitored."""
        return self._slots.get(name)

    def slots(self, names: tuple[Name | None, ...], now_seconds: float) -> npt.NDArray[np.intp]:
        """The slots of these requests' sources, (k,), NOWHERE for those without one; new sources get one.

        No source of these requests leaves for another of them.
        """
        self._latest = moment = max(now_seconds, self._latest + 1e-6)
        found, seen = np.empty(len(names), np.intp), self.columns.seen
        for number, name in enumerate(names):
            slot = NOWHERE
            if name is not None:
                known = self._slots.get(name)
                slot = self._admit(name, moment) if known is None else known
                if slot == NOWHERE:
                    self._turn_away()
                else:
                    seen[slot] = moment
            found[number] = slot
        return found

    def put(self, name: Name, seen_seconds: float) -> int:
        """Give a source that was last seen then the next free slot: there must be one."""
        slot = len(self.names)
        self.names.append(name)
        self.columns.seen[slot] = seen_seconds
        self._latest = max(self._latest, seen_seconds)  # later requests count as later, even if the clock is set back
        self._take(slot, name)
        return slot

    def _admit(self, name: Name, moment: float) -> int:
        if len(self.names) < self._most:
            slot = self.put(name, moment)
        else:
            slot = self._leaver(self._key(name), moment)
            if slot == NOWHERE:
                return slot
            del self._slots[self.names[slot]]
            self._left(slot)
            self.columns.clear(slot)
            self.names[slot] = name
            self._take(slot, name)
        self.columns.since[slot] = moment
        return slot

    def _take(self, slot: int, name: Name) -> None:
        self._slots[name] = slot
        self._key_of[slot] = self._key(name)

    def _key(self, name: Name) -> int:
        return self._keys.setdefault(name[0], len(self._keys))

    def _leaver(self, key: int, moment: float) -> int:
        """The slot that a new source of `key` replaces; NOWHERE if no source may leave."""
        columns, held = self.columns, np.bincount(self._key_of, minlength=len(self._keys))
        keys = np.count_nonzero(held) + (not held[key])
        crowded = key if held[key] >= self._most / keys else int(held.argmax())
        may = (self._key_of == crowded) & ~columns.is_named & (columns.seen < moment)
        first = may & (columns.highest < self._protected)
        leaving = np.flatnonzero(first if first.any() else may)
        return int(leaving[columns.seen[leaving].argmin()]) if len(leaving) else NOWHERE

    def _turn_away(self) -> None:
        self.turned_away += 1
        if not self._is_full_logged:
            self._is_full_logged = True
            log.warning(
                "no room to monitor another source: raise HARMGAUGE_MAX_SOURCES from %d, or acknowledge named sources",
                self._most,
            )
