"""What `build` can be asked for, and what of it makes no sense."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harmgauge_models.errors import UserError

if TYPE_CHECKING:  # `harmgauge build --help` must not wait for them
    from harmgauge_models.graphs.fuse import Gives, Loss

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""As the manifest has it."""

Second = Literal["auto", "head", "student"]
"""A distilled network: a head on what the classifier computes, or a student apart; auto takes a head."""


@dataclass(frozen=True)
class Options:
    """What `build` was asked for. `epochs` and `seed` are the second network's training, `epochs` None for the
    recipe's own.

    `loss` and `temperature` None are what the kind of second network does best with.

    `accuracy` is the classifier's on calibration rows without labels, as far as it is known.

    `keep` serves the second network even if the classifier's entropy alone is better.

    From `autoencoder` to `flip`: of the adversarial autoencoder alone.
    """

    classifier: Path
    calibration: Path
    name: str
    detector: str = "distillation"
    train: Path | None = None
    distilled: Path | None = None
    second: Second = "auto"
    student: str | None = None
    autoencoder: str | None = None
    autoencoder_onnx: Path | None = None
    hidden_layers: tuple[str, ...] = ()
    reconstruction_weight: float = 0.0
    noise: float = 0.0
    shift_pixels: int = 0
    flip: bool = False
    keep: bool = False
    samples: Path | None = None
    accuracy: float | None = None
    class_names: tuple[str, ...] = ()
    version: str | None = None
    out: Path = Path("models/bundles")
    work: Path | None = None
    loss: Loss | None = None
    temperature: float | None = None
    percentile: float = 95.0
    classifier_output: str | None = None
    distilled_output: str | None = None
    classifier_gives: Gives | None = None
    distilled_gives: Gives | None = None
    features: str | None = None
    window_rows: int = 1000
    rows_between_false_alarms: int = 1_000_000
    int8: bool = False
    epochs: int | None = None
    seed: int = 0
    command: str = ""
    say: Callable[[str], None] = field(default=print, repr=False)


def check(options: Options) -> None:
    """Raise UserError, naming the option, for whatever can be seen to be wrong before any file is read.

    What a kind of second network makes of its options, it checks itself (`detectors`).
    """
    if options.temperature is not None and not 0 < options.temperature < inf:
        raise UserError(
            f"--temperature {options.temperature}: it divides logarithms and must be above 0 (1 changes nothing)"
        )
    if options.loss not in (None, "kld", "xent"):
        raise UserError(f"--loss {options.loss}: there are kld and xent")
    if not 0 < options.percentile <= 100:
        raise UserError(f"--percentile {options.percentile}: it must be above 0 and at most 100")
    for option, value in (("--name", options.name), ("--version", options.version)):
        if value is not None and not re.fullmatch(_NAME, value):
            raise UserError(f"{option} {value}: letters, digits, '.', '_' and '-' are allowed, at most 64")
    if options.epochs is not None and options.epochs < 1:
        raise UserError(f"--epochs {options.epochs}: at least 1 is needed")
