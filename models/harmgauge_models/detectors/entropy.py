"""No second network: the score is the classifier's own entropy, which is free and sometimes hard to beat."""

from __future__ import annotations

from harmgauge_models.detectors.base import SecondNetwork, Task, refuse_set, register
from harmgauge_models.graphs.fuse import with_entropy
from harmgauge_models.options import Options

DETECTOR = "entropy"
ASKED_FOR = "it was asked for with --detector entropy"


_OF_SECOND_NETWORK = (
    "distilled",
    "distilled_output",
    "distilled_gives",
    "train",
    "second",
    "student",
    "autoencoder",
    "autoencoder_onnx",
    "hidden_layers",
    "reconstruction_weight",
    "noise",
    "shift_pixels",
    "flip",
    "keep",
    "loss",
    "temperature",
    "epochs",
    "work",
)


def check(options: Options) -> None:
    """Raise UserError for options of a second network."""
    why = "a second network, and --detector entropy has none: leave it out"
    refuse_set(options, _OF_SECOND_NETWORK, why)


@register(DETECTOR, check)
def make(task: Task) -> SecondNetwork:
    """The classifier alone."""
    return entropy(task, ASKED_FOR)


def entropy(task: Task, reason: str) -> SecondNetwork:
    """The classifier alone, with the reason for having no second network."""
    network = task.classifier.network
    return SecondNetwork(
        None,
        {"none": reason},
        [],
        DETECTOR,
        score={"unit": "nats", "reason": reason},
        alone=lambda: with_entropy(network),
    )
