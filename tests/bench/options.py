"""The environment variables that all benchmarks share."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import TypeAdapter

from harmgauge.bundle.manifest import Precision

BUNDLE = Path(os.environ.get("BUNDLE", "models/bundles/cifar10-resnet32/3"))
PRECISION: Precision = TypeAdapter[Precision](Precision).validate_python(os.environ.get("PRECISION", "float32"))
OUT = Path(os.environ.get("OUT", "docs/measurements/benchmarks"))
"""The folder for tables, figures and plots."""
SECONDS = int(os.environ.get("SECONDS", "4"))
"""Length of each load."""
