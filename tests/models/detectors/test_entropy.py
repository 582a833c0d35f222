"""`--detector entropy` rejects all options of a second network, which would have no effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harmgauge_models import detectors
from harmgauge_models.errors import UserError
from harmgauge_models.options import Options

OPTIONS = Options(Path("classifier.onnx"), Path("calibration.npz"), "toy", detector="entropy")


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"distilled": Path("second.onnx")}, "--distilled"),
        ({"train": Path("train.npz")}, "--train"),
        ({"student": "a:b"}, "--student"),
        ({"second": "head"}, "--second"),
        ({"autoencoder": "a:b"}, "--autoencoder"),
        ({"autoencoder_onnx": Path("a.onnx")}, "--autoencoder-onnx"),
        ({"hidden_layers": ("flat:4",)}, "--hidden-layer"),
        ({"reconstruction_weight": 1.0}, "--reconstruction-weight"),
        ({"noise": 0.1}, "--noise"),
        ({"shift_pixels": 1}, "--shift-pixels"),
        ({"flip": True}, "--flip"),
        ({"keep": True}, "--keep"),
        ({"loss": "kld"}, "--loss"),
        ({"temperature": 1.0}, "--temperature"),
        ({"distilled_output": "y"}, "--distilled-output"),
        ({"distilled_gives": "logits"}, "--distilled-gives"),
        ({"epochs": 3}, "--epochs"),
        ({"work": Path("work")}, "--work"),
    ],
)
def test_options_of_a_second_network_are_refused(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(UserError, match=f"^{option} is for a second network"):
        detectors.find(replace(OPTIONS, **changes))


def test_all_others_are_taken() -> None:
    detectors.find(replace(OPTIONS, int8=True, features="none", percentile=90.0, seed=3, classifier_gives="logits"))
