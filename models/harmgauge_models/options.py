"""What `build` can be asked for, and what of it makes no sense."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from harmgauge_models.errors import UserError

if TYPE_CHECKING:  # `harmgauge build --help` must not wait for them
    from harmgauge_models.graphs.fuse import Gives, Loss

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""As the manifest has it."""

DETECTORS = ("distillation", "adversarial-autoencoder")
"""The kinds that the package brings; `register` adds others."""

Second = Literal["auto", "head", "student"]
"""A distilled network: a head on the classifier's own features, a student apart, or the first that will do."""


@dataclass(frozen=True)
class Options:
    """What `build` was asked for. `epochs` and `seed` are the second network's training, `epochs` None for the
    recipe's own.

    `loss` and `temperature` None are what the kind of second network does best with.

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
    samples: Path | None = None
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


_OF_AUTOENCODER = (
    "autoencoder",
    "autoencoder_onnx",
    "hidden_layers",
    "reconstruction_weight",
    "noise",
    "shift_pixels",
    "flip",
)


def check(options: Options) -> None:
    """Raise UserError, naming the option, for whatever can be seen to be wrong before any file is read."""
    if options.temperature is not None and not 0 < options.temperature < inf:
        raise UserError(
            f"--temperature {options.temperature}: it divides logarithms and must be above 0 (1 changes nothing)"
        )
    if options.loss not in (None, "kld", "xent"):
        raise UserError(f"--loss {options.loss}: there are kld and xent")
    if not 0 < options.percentile <= 100:
        raise UserError(f"--percentile {options.percentile}: it must be above 0 and at most 100")
    if options.detector == "adversarial-autoencoder":
        _check_autoencoder(options)
    else:
        _check_distillation(options)
    for option, value in (("--name", options.name), ("--version", options.version)):
        if value is not None and not re.fullmatch(_NAME, value):
            raise UserError(f"{option} {value}: letters, digits, '.', '_' and '-' are allowed, at most 64")
    if options.epochs is not None and options.epochs < 1:
        raise UserError(f"--epochs {options.epochs}: at least 1 is needed")


def _check_distillation(options: Options) -> None:
    if options.distilled is None and options.train is None:
        raise UserError("name the training rows with --train, or a second network of your own with --distilled")
    if options.distilled is not None and (options.train or options.student):
        raise UserError("--distilled takes a network as it is; leave out --train and --student")
    if options.second not in get_args(Second):
        raise UserError(f"--second {options.second}: there are {', '.join(get_args(Second))}")
    if options.second == "head" and (options.distilled or options.student):
        raise UserError("--second head trains a head of ours; leave out --distilled and --student")
    for option in _OF_AUTOENCODER:
        if getattr(options, option):
            name = option.replace("hidden_layers", "hidden_layer").replace("_", "-")
            raise UserError(f"--{name} is for --detector adversarial-autoencoder; add that, or leave it out")


def _check_autoencoder(options: Options) -> None:
    if options.distilled is not None or options.student is not None or options.second != "auto":
        raise UserError("--distilled, --student and --second are for --detector distillation; leave them out")
    if options.loss not in (None, "kld"):
        raise UserError("--loss: an adversarial autoencoder's score is a KL divergence; leave it out")
    if options.autoencoder_onnx is None and options.train is None:
        raise UserError("name the training rows with --train, or an autoencoder of your own with --autoencoder-onnx")
    if options.autoencoder_onnx is not None and (options.train or options.autoencoder):
        raise UserError("--autoencoder-onnx takes an autoencoder as it is; leave out --train and --autoencoder")
    for name in ("reconstruction_weight", "noise", "shift_pixels"):
        value = getattr(options, name)
        if not 0 <= value < inf:
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be 0 or more")
