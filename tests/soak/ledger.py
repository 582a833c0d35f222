"""What clients saw of one service: answers by route and status, what was wrong, what never came."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Self

MOST_EVIDENCE = 50
"""Of what is wrong, no more is kept word for word."""


@dataclass
class Unanswered:
    """A request whose bytes were handed over whole at `sent`, and whose connection was gone at `gone` (monotonic
    seconds). `ahead` requests on the same connection still waited before it; `told`: the last answer there said that no
    other would come (`Connection: close`).
    """

    sent: float
    gone: float
    how: str
    ahead: int
    told: bool


@dataclass
class Ledger:
    """`answers` counts "ROUTE STATUS", `codes` the codes of errors. Rows and flagged rows are those of good answers.

    `left` counts, by route, clients that left when the head at least was there: the service counts each of them, as
    answered or as 499. `reset` counts those that tore the connection, of which it may never have seen anything; the
    inputs of both, where all were sent, are `perhaps_rows`. `swapped` and `wrong` are told by `accuse`.
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
        """Note something that should not be: `swapped`, a good answer that is not its request's own."""
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
        """What JSON can write, and `read` reads."""
        return {**vars(self), "unanswered": [vars(found) for found in self.unanswered]}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        made = cls(**document)
        for each in fields(made):
            if isinstance(getattr(made, each.name), dict):
                setattr(made, each.name, Counter(getattr(made, each.name)))
        made.unanswered = [Unanswered(**found) for found in document["unanswered"]]
        return made
