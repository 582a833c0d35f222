"""The results of the clients of one service: responses by route and status, wrong responses, and missing ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Self

MOST_EVIDENCE = 50
"""The first errors of a ledger are kept verbatim, up to this number."""


@dataclass
class Unanswered:
    """A request that was sent completely at `sent`, and whose connection was lost at `gone` (monotonic seconds).
    `ahead` requests on the same connection were waiting before it; `told`: the last response there announced that no
    other would follow (`Connection: close`).
    """

    sent: float
    gone: float
    how: str
    ahead: int
    told: bool


@dataclass
class Ledger:
    """`answers` counts "ROUTE STATUS", `codes` the codes of errors. Rows and flagged rows are those of good responses.

    `left` counts, by route, clients that disconnected after sending at least the head: the service counts each of them,
    as answered or as 499. `reset` counts those that reset the connection, which the service may never have seen; the
    inputs of both, if sent completely, are `perhaps_rows`. `swapped` and `wrong` are counted by `accuse`.
    """

    single: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    flagged: int = 0
    left: Counter[str] = field(default_factory=Counter)
    reset: Counter[str] = field(default_factory=Counter)
    perhaps_rows: int = 0
    swapped: int = 0
    wrong: int = 0
    evidence: list[str] = field(default_factory=list)
    unanswered: list[Unanswered] = field(default_factory=list)

    def accuse(self, text: str, *, swapped: bool = False) -> None:
        """Record an error: `swapped` is a good response to another request."""
        self.swapped += swapped
        self.wrong += not swapped
        if len(self.evidence) < MOST_EVIDENCE:
            self.evidence.append(text)

    def add(self, other: Self) -> None:
        for each in fields(self):
            mine = getattr(self, each.name)
            if isinstance(mine, Counter):
                mine.update(getattr(other, each.name))
            else:
                setattr(self, each.name, mine + getattr(other, each.name))

    def document(self) -> dict[str, Any]:
        """The ledger in a form that JSON can represent, for `read`."""
        return {**vars(self), "unanswered": [vars(found) for found in self.unanswered]}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        made = cls(**document)
        for each in fields(made):
            if isinstance(getattr(made, each.name), dict):
                setattr(made, each.name, Counter(getattr(made, each.name)))
        made.unanswered = [Unanswered(**found) for found in document["unanswered"]]
        return made
