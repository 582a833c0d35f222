"""The base of every object in `bundle.json`, and their common field types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Dtype = Literal["uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"]

Text = Annotated[str, Field(min_length=1, max_length=1000)]
"""A name chosen by the bundle's owner: of a tensor, a column, a category."""

Length = Annotated[int, Field(ge=1, le=2**31)]
"""Length of an axis."""


class Part(BaseModel):
    """An immutable object without unknown fields, NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def first_double(names: Iterable[str]) -> str | None:
    """The first name that repeats an earlier one; None if all are distinct."""
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
