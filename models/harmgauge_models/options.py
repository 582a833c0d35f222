"""The options of `build`, and the check that they are consistent."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harmgauge_models.errors import UserError

if TYPE_CHECKING:  # `harmgauge build --help` must not load them
    from harmgauge.bundle.inputs import Filter
    from harmgauge_models.graphs.divergence import Gives, Loss

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that are valid in the manifest."""

Second = Literal["auto", "head", "student"]
"""The form of a distilled network: a head on the classifier's own features, or a separate student; `auto` is a head."""


@dataclass(frozen=True)
class Options:
    """The options of one `build`.

    `epochs` and `seed` are for the second network's training; if `epochs` is None, the recipe decides.

    If `loss` or `temperature` is None, the value that works best for the kind of second network is used.

    `label` names the labels in the data, by default y. `tokenizer` is a `tokenizer.json`.

    `accuracy` is the classifier's accuracy, if known, on calibration rows without labels.

    `keep` serves the second network even if the classifier's entropy alone is better.

    `scale` to `crop` describe how images become the classifier's rows (`building/images.py`); `crop` is (width,
    height).

    `autoencoder` to `flip` are for the adversarial autoencoder only.
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
    label: str | None = None
    tokenizer: Path | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None
    resize_filter: Filter | None = None
    crop: tuple[int, int] | None = None
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
    """Raise UserError, naming the option, for every error that can be found before any file is read.

    Each kind of second network checks its own options (`detectors`).
    """
    if options.temperature is not None and not 0 < options.temperature < inf:
        raise UserError(
            f"--temperature {options.temperature}: expected a number above 0 (it divides logarithms; 1 changes nothing)"
        )
    if options.loss not in (None, "kld", "xent"):
        raise UserError(f"--loss {options.loss}: expected kld or xent")
    if not 0 < options.percentile <= 100:
        raise UserError(f"--percentile {options.percentile}: expected a number above 0 and at most 100")
    if options.scale is not None and not 0 < options.scale < inf:
        raise UserError(f"--scale {options.scale}: expected a number above 0, such as 1/255")
    if options.std is not None and not all(0 < value < inf for value in options.std):
        raise UserError("--std: expected numbers above 0, one for each channel or one for all")
    if options.resize_filter is not None and options.resize is None:
        raise UserError("--resize-filter is for --resize; add that, or leave it out")
    for option, value in (("--name", options.name), ("--version", options.version)):
        if value is not None and not re.fullmatch(_NAME, value):
            raise UserError(f"{option} {value}: expected at most 64 letters, digits, '.', '_' and '-'")
    if options.epochs is not None and options.epochs < 1:
        raise UserError(f"--epochs {options.epochs}: expected at least 1")
