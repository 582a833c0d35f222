"""Queues requests with waiting rows, in turns by holder: a crowd from one holder delays only itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

from harmgauge.inference.batch import Entry, Piece


class FairQueue:
    """First come, first served within each holder. Holders take turns, one each time rows are taken."""

    def __init__(self) -> None:
        self.lines: dict[Hashable, deque[Entry]] = {}  # in order of turns, the next holder first; no line is empty
        self._rows: dict[Hashable, int] = {}

    def __iter__(self) -> Iterator[Entry]:
        return (entry for line in self.lines.values() for entry in line)

    def append(self, entry: Entry) -> None:
        holder = entry.context.holder
        self.lines.setdefault(holder, deque()).append(entry)
        self._rows[holder] = self._rows.get(holder, 0) + entry.waiting_rows

    def first(self) -> Entry:
        """The request whose rows are taken next."""
        return next(iter(self.lines.values()))[0]

    def take(self, most_rows: int) -> Piece:
        """Take rows of the first request; then it is the next holder's turn."""
        holder, line = next(iter(self.lines.items()))
        entry = line[0]
        piece = Piece(entry, entry.taken, min(len(entry.rows), entry.taken + most_rows))
        entry.taken = piece.stop
        if not entry.waiting_rows:
            line.popleft()
        del self.lines[holder]
        if line:
            self.lines[holder] = line
        self._count(holder, piece.start - piece.stop)
        return piece

    def put_back(self, piece: Piece) -> None:
        """Return a piece to its place, right after it was taken."""
        entry, holder = piece.entry, piece.entry.context.holder
        line = self.lines.pop(holder, deque())
        if not entry.waiting_rows:
            line.appendleft(entry)
        entry.taken = piece.start
        self.lines = {holder: line, **self.lines}
        self._count(holder, piece.stop - piece.start)

    def remove(self, entry: Entry) -> bool:
        """Remove the entry; returns whether it was waiting."""
        holder = entry.context.holder
        line = self.lines.get(holder)
        if line is None or entry not in line:
            return False
        line.remove(entry)
        if not line:
            del self.lines[holder]
        self._count(holder, -entry.waiting_rows)
        return True

    def newest_of_most(self, holder: Hashable, count: int) -> Entry | None:
        """The last request of the holder with most rows, if that holder has more rows than `holder` would have with
        `count` more, and no row of the request has been taken yet.
        """
        most = max(self._rows, key=self._rows.__getitem__, default=holder)
        if self._rows.get(most, 0) <= self._rows.get(holder, 0) + count:
            return None
        newest = self.lines[most][-1]
        return None if newest.taken else newest

    def _count(self, holder: Hashable, rows: int) -> None:
        self._rows[holder] = self._rows.get(holder, 0) + rows
        if not self._rows[holder]:
            del self._rows[holder]
