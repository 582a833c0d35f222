"""The options of `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`data` is in a form that `pictures.read` or `rows.read` accepts; None means the value from the plan.

    `label` names the labels in `data`, by default y.

    `kinds` are the corruptions to make, and `corrupted` are files with further ones; `time` names the array in `data`
    with the time of each row, and `periods` defines how to split it.
    """

    bundle: Path
    data: Path
    work: Path | None = None
    quick: bool = False
    kinds: tuple[str, ...] | None = None
    corrupted: tuple[Path, ...] = ()
    time: str | None = None
    periods: str | None = None
    attacks: tuple[str, ...] | None = None
    attack_rows: int | None = None
    label: str | None = None
    seed: int = 0
    say: Callable[[str], None] = field(default=print, repr=False)
