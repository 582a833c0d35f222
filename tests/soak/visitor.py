"""The base of all visitors: their keys, and how they record results."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.soak.asking import Answer
from tests.soak.ledger import Ledger


@dataclass
class Visitor:
    """`others` are keys of other users: "metrics", and "greedy", which sends too much."""

    port: int
    key: str
    others: dict[str, str]
    ledger: Ledger
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def bearer(self, key: str = "") -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self.key}"}

    def note(self, route: str, answer: Answer, due: int | None = None) -> None:
        """Count a response; one that is neither `due` nor a 429 is wrong."""
        self.ledger.answers[f"{route} {answer.status}"] += 1
        if answer.status != 200:
            self.ledger.codes[answer.document["code"]] += 1
        if due is not None and answer.status not in (due, 429):
            self.ledger.accuse(f"expected {due}, got {answer}")
