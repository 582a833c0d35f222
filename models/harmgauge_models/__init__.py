"""Builds and judges the bundles that harmgauge serves. Names are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import harmgauge  # noqa: F401  # switches ONNX Runtime's reports off before anything loads it

if TYPE_CHECKING:
    from harmgauge_models.building.build import build
    from harmgauge_models.data.cifar10 import load as load_cifar10
    from harmgauge_models.data.corruptions import CORRUPTIONS, corrupt
    from harmgauge_models.detectors import SecondNetwork, register
    from harmgauge_models.evaluation.attack import attack
    from harmgauge_models.evaluation.evaluate import evaluate
    from harmgauge_models.options import Options

_FROM = {
    "CORRUPTIONS": "harmgauge_models.data.corruptions:CORRUPTIONS",
    "Options": "harmgauge_models.options:Options",
    "SecondNetwork": "harmgauge_models.detectors:SecondNetwork",
    "attack": "harmgauge_models.evaluation.attack:attack",
    "build": "harmgauge_models.building.build:build",
    "corrupt": "harmgauge_models.data.corruptions:corrupt",
    "evaluate": "harmgauge_models.evaluation.evaluate:evaluate",
    "load_cifar10": "harmgauge_models.data.cifar10:load",
    "register": "harmgauge_models.detectors:register",
}

__all__ = [
    "CORRUPTIONS",
    "Options",
    "SecondNetwork",
    "attack",
    "build",
    "corrupt",
    "evaluate",
    "load_cifar10",
    "register",
]


def __getattr__(name: str) -> object:
    if name not in _FROM:
        raise AttributeError(f"module 'harmgauge_models' has no attribute {name!r}")
    module, _, attribute = _FROM[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
