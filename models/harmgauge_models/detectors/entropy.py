"""No second network: the score is the classifier's own entropy, which costs nothing and is hard to beat on some rows."""

from __future__ import annotations

from harmgauge_models.detectors.base import SecondNetwork, Task, register
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import with_entropy
from harmgauge_models.options import Options

DETECTOR = "entropy"
ASKED_FOR = "it was asked for with --detector entropy"


def check(options: Options) -> None:
    """Raise UserError for options of a second network."""
    for option in ("distilled", "train", "student", "autoencoder", "autoencoder_onnx", "loss", "temperature"):
        if getattr(options, option) is not None:
            raise UserError(f"--{option.replace('_', '-')} is for a second network, and --detector entropy has none")


@register(DETECTOR, check)
def make(task: Task) -> SecondNetwork:
    """The classifier alone."""
    return entropy(task, ASKED_FOR)


def entropy(task: Task, reason: str) -> SecondNetwork:
    """The classifier alone, and why."""
    network = task.classifier.network
    return SecondNetwork(
        None,
        {"none": reason},
        [],
        DETECTOR,
        score={"unit": "nats", "reason": reason},
        alone=lambda: with_entropy(network),
    )
