"""Builds and judges the bundles that harmgauge serves. Names are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import harmgauge  # noqa: F401  # switches ONNX Runtime's reports off before anything loads it

if TYPE_CHECKING:
    from harmgauge_models.building.build import build
    from harmgauge_models.detectors import SecondNetwork, register
    from harmgauge_models.evaluation.evaluate import evaluate
    from harmgauge_models.options import Options

_FROM = {
    "Options": "harmgauge_models.options",
    "SecondNetwork": "harmgauge_models.detectors",
    "build": "harmgauge_models.building.build",
    "evaluate": "harmgauge_models.evaluation.evaluate",
    "register": "harmgauge_models.detectors",
}

__all__ = ["Options", "SecondNetwork", "build", "evaluate", "register"]


def __getattr__(name: str) -> object:
    if name not in _FROM:
        raise AttributeError(f"module 'harmgauge_models' has no attribute {name!r}")
    return getattr(import_module(_FROM[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
