"""The columns of a bundle's rows: what stands at each position of a row, and its name.

Behind the positions of a picture are those of its measures.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.named_inputs import is_by_column
from harmgauge.bundle.picture_measures import LEAST_SIDE, names_of
from harmgauge.bundle.served_input import InputSpec, Served, described

Holds = Literal["numbers", "strings", "length", "measures"]


@dataclass(frozen=True)
class InputColumns:
    """The columns of one input: `size` positions of a row, from `first` on, which hold its numbers or strings.

    Inputs with a free axis have one column together, of the `length` of the axis. `is_only` is set if the bundle has no
    other input. `image` is set for the measures of pictures.
    """

    input: Input
    first: int
    size: int
    holds: Holds
    is_only: bool
    image: ImageSpec | None = None

    def column(self, position: int) -> Column | None:
        """The declaration of a position in the bundle; None without one."""
        if not is_by_column(self.input):
            return None
        assert self.input.columns is not None
        return self.input.columns[position - self.first]

    def name(self, position: int) -> str:
        """The column's name, or the input's and the position in it."""
        if self.image is not None:
            return names_of(self.image)[position - self.first]
        column = self.column(position)
        if self.holds == "length":
            return f"length of {self.input.name}"
        if column is not None:
            return column.name
        if self.holds == "numbers" and self.is_only:
            return str(position)
        return self.input.name if self.size == 1 else f"{self.input.name}[{position - self.first}]"


class RowColumns:
    """All columns: those of the inputs of fixed shape, flattened, in the manifest's order, and in the place of the
    first input with a free axis the length of that axis; last, the measures of pictures.
    """

    def __init__(self, served: Served) -> None:
        inputs = (described(served),) if isinstance(served, InputSpec) else served.inputs
        found: list[InputColumns] = []
        size, has_length = 0, False
        for each in inputs:
            is_free = None in each.shape
            if is_free and has_length:
                continue
            has_length |= is_free
            own = 1 if is_free else math.prod(length or 1 for length in each.shape)
            holds: Holds = "length" if is_free else "strings" if each.is_text else "numbers"
            found.append(InputColumns(each, size, own, holds, len(inputs) == 1))
            size += own
        if isinstance(served, InputSpec) and served.image is not None and min(served.image_size) >= LEAST_SIDE:
            measures = len(names_of(served.image))
            found.append(InputColumns(inputs[0], size, measures, "measures", is_only=True, image=served.image))
            size += measures
        self.inputs: tuple[InputColumns, ...] = tuple(found)
        self.size = size
        """The number of positions of a row."""

    def at(self, position: int) -> InputColumns:
        """The input at a position."""
        return self.inputs[bisect_right(self._firsts, position) - 1]

    def names(self, positions: Sequence[int]) -> tuple[str, ...]:
        """The names of the columns at these positions, all different."""
        found: list[str] = []
        taken: set[str] = set()
        for position in positions:
            name = self.at(position).name(position)
            while name in taken:
                name += f" ({position})"
            taken.add(name)
            found.append(name)
        return tuple(found)

    @cached_property
    def _firsts(self) -> list[int]:
        return [each.first for each in self.inputs]
