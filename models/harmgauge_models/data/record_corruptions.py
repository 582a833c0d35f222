"""Corruptions of records for an evaluation: numbers as in a table, and each disturbance of categories, texts and ids at
five severities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Columns, find_columns
from harmgauge_models.data.record_disturbances.categories import Categories
from harmgauge_models.data.record_disturbances.numbers import by_field, matrix
from harmgauge_models.data.record_disturbances.part import RecordPart
from harmgauge_models.data.record_disturbances.texts import Texts
from harmgauge_models.data.record_disturbances.tokens import Tokens
from harmgauge_models.data.record_disturbers import is_free_text, token_fields
from harmgauge_models.data.row_corruptions import Corruptions
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.graphs import records

STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""By severity, 1 to 5."""

NUMBERS = "numbers_"
"""Prefix of the kinds that change numbers."""


class Kinds(Protocol):
    """Corruptions by kind."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def make(self, name: str, severity: int, seed: int) -> Array:
        """Corrupted copies of all rows."""
        ...


@dataclass(frozen=True)
class ArrayKinds:
    """The corruptions of rows of one array."""

    made: Corruptions

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.made.kinds)

    def make(self, name: str, severity: int, seed: int) -> Array:
        """See `Kinds`."""
        return self.made.make(name, severity, seed)


@dataclass(frozen=True)
class RecordKinds:
    """The corruptions of the records `x`."""

    x: Array
    inputs: Sequence[Input]
    tokenizer: Tokenizer | None = None

    @cached_property
    def _parts(self) -> dict[str, RecordPart]:
        if self.tokenizer is not None:
            return _by_kind([Texts(self.x, [records.TEXT], self.tokenizer)])
        parts: list[RecordPart] = []
        if tokens := token_fields(self.x, self.inputs):
            pads = {taken.name: taken.pad_value or 0 for taken in self.inputs if taken.name in tokens}
            parts.append(Tokens(self.x, tokens[0], pads))
        if categories := [taken.name for taken in self.inputs if taken.categories is not None]:
            parts.append(Categories(self.x, categories))
        if texts := [taken.name for taken in self.inputs if is_free_text(taken)]:
            parts.append(Texts(self.x, texts))
        return _by_kind(parts)

    @cached_property
    def _numeric(self) -> tuple[str, ...]:
        tokens = () if self.tokenizer is None else self.tokenizer.names
        taken = (*tokens, *token_fields(self.x, self.inputs))
        return tuple(each.name for each in self.inputs if not each.is_text and each.name not in taken)

    @cached_property
    def _numbers(self) -> Corruptions | None:
        if not self._numeric:
            return None
        rows = matrix(self.x, self._numeric)
        columns: Columns = find_columns(rows, "table")
        missing = any(each.missing for each in self.inputs if each.name in self._numeric)
        return Corruptions(rows, columns, missing)

    @cached_property
    def names(self) -> tuple[str, ...]:
        numbers = () if self._numbers is None else tuple(f"{NUMBERS}{name}" for name in self._numbers.kinds)
        return (*numbers, *self._parts)

    def make(self, name: str, severity: int, seed: int) -> Array:
        """See `Kinds`."""
        if name in self._parts:
            random = np.random.default_rng((seed, severity, *name.encode()))
            return self._parts[name].alone(self.x, name, STRENGTHS[severity - 1], random)
        assert self._numbers is not None
        changed = self._numbers.make(name.removeprefix(NUMBERS), severity, seed)
        return records.changed(self.x, by_field(self.x, self._numeric, changed))


def _by_kind(parts: Sequence[RecordPart]) -> dict[str, RecordPart]:
    return {name: part for part in parts for name in part.families}
