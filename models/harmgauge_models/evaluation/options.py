"""What `evaluate` can be asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`data` is as `pictures.read` or `rows.read` take it; None is as much as the plan says.

    `kinds` are those of the corruptions that are made, `corrupted` files with further ones; `time` names the array of
    `data` that says when each row came, and `periods` how to split it.
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
    seed: int = 0
    say: Callable[[str], None] = field(default=print, repr=False)
