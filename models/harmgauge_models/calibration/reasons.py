"""Reasons why a bundle cannot have P(wrong)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEARNED_BY = ("head", "rows")
"""Keys in a bundle's record of its second network that show it was trained on disturbed rows."""


def why_none(detector: str, second_network: Mapping[str, Any]) -> str | None:
    """The reason why a bundle has no P(wrong), judged by its `detector` and the record of its `second_network` (`made`
    in the manifest); None if it can have P(wrong).
    """
    if detector == "entropy":
        return (
            "the score is the classifier's own entropy, and P(wrong) follows from a second network: build with --keep, "
            "and more training rows"
        )
    if detector == "adversarial_autoencoder":
        return (
            "an adversarial autoencoder rebuilds the input and does not learn when the classifier errs: build with "
            "--detector distillation"
        )
    if not any(second_network.get(key) for key in LEARNED_BY):
        return (
            "the second network was not trained on disturbed rows, so accuracy estimated by it is off by .08 to .14 on "
            "average: build with --train and without --distilled and --second student"
        )
    return None
