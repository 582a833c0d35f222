"""How the values of a record become a bundle's inputs: worked out once for each bundle, used for every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import Field, NamedInputs
from harmgauge.bundle.values import bounds


@dataclass(frozen=True)
class NumberSpec:
    """The numbers that an input accepts (`arrays.Numbers`)."""

    dtype: str
    minimum: float | None
    maximum: float | None
    missing: bool

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    @classmethod
    def of(cls, found: Input) -> NumberSpec:
        return cls(found.dtype, *bounds(found), found.missing)


class Plan:
    """`fields` by key. Those with one value in a row are in `number_groups`, which are checked together, and `strings`;
    `lists` are the others. `values_of` takes the values of all fields from a record that has them.
    """

    def __init__(self, inputs: NamedInputs) -> None:
        self.inputs = inputs
        self.fields = inputs.fields
        self.keys = frozenset(self.fields)
        self.values_of = _getter(list(self.fields))
        self.needed = frozenset(key for key, field in self.fields.items() if not field.input.missing)
        self.specs = {found.name: NumberSpec.of(found) for found in inputs.inputs if not found.is_text}
        self.categories = {
            found.name: frozenset(found.categories) for found in inputs.inputs if found.categories is not None
        }
        groups: dict[NumberSpec, list[Field]] = {}
        self.strings: list[Field] = []
        self.lists: list[Field] = []
        for field in self.fields.values():
            if field.position is None and field.input.shape not in ((), (1,)):
                self.lists.append(field)
            elif field.input.is_text:
                self.strings.append(field)
            else:
                groups.setdefault(self.specs[field.input.name], []).append(field)
        self.number_groups = list(groups.items())

    @property
    def only_list(self) -> Field | None:
        """The field of a bundle whose instances may be lists, rather than records."""
        return self.lists[0] if len(self.fields) == 1 and self.lists else None


def _getter(keys: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """The values of a dictionary by these keys, at least one, as a tuple."""
    if len(keys) == 1:
        (only,) = keys
        return lambda record: (record[only],)
    getter: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(*keys)
    return getter


@lru_cache(maxsize=16)
def plan_of(inputs: NamedInputs) -> Plan:
    return Plan(inputs)
