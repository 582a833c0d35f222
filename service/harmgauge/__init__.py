"""harmgauge scores how harmful each input is to a classifier, and watches the traffic for drift, without labels.

>>> from harmgauge import Scorer, load_bundle  # doctest: +SKIP
>>> Scorer(load_bundle("models/bundles/cifar10-resnet32/3")).score(images).scores  # doctest: +SKIP

Names are loaded on first use.
"""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False
"""True for type checkers. Importing this from `typing` would triple the time until the command handles SIGTERM."""

# ONNX Runtime reports usage to Microsoft unless this is set before it is loaded. So it is set here, whichever part of
# the package is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from harmgauge.asgi import create_app
    from harmgauge.bundle.load import Bundle
    from harmgauge.bundle.load import load as load_bundle
    from harmgauge.cli.client import Client
    from harmgauge.drift.state import DriftDetector, DriftState
    from harmgauge.inference.scorer import Scorer
    from harmgauge.server.process import serve
    from harmgauge.settings import Settings

    __version__: str

_FROM = {
    "Bundle": "harmgauge.bundle.load:Bundle",
    "Client": "harmgauge.cli.client:Client",
    "DriftDetector": "harmgauge.drift.state:DriftDetector",
    "DriftState": "harmgauge.drift.state:DriftState",
    "Scorer": "harmgauge.inference.scorer:Scorer",
    "Settings": "harmgauge.settings:Settings",
    "create_app": "harmgauge.asgi:create_app",
    "load_bundle": "harmgauge.bundle.load:load",
    "serve": "harmgauge.server.process:serve",
}

__all__ = [
    "Bundle",
    "Client",
    "DriftDetector",
    "DriftState",
    "Scorer",
    "Settings",
    "__version__",
    "create_app",
    "load_bundle",
    "serve",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("harmgauge")
    if name not in _FROM:
        raise AttributeError(f"module 'harmgauge' has no attribute {name!r}")
    module, _, attribute = _FROM[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
