"""Calibration rows are checked as the service would check them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge_models.calibration.rows import check_values
from harmgauge_models.errors import UserError
from tests.conftest import ROOT

OLD = ROOT / "models" / "bundles" / "cifar10-resnet32" / "2"


def test_values_outside_the_range_and_missing_ones_are_refused(tmp_path: Path) -> None:
    spec = load(OLD).manifest.input.model_copy(update={"dtype": "float32", "minimum": 0.0, "maximum": 1.0})
    x = np.full((3, 2), 0.5, np.float32)
    check_values(tmp_path, x, spec)
    x[1, 1] = np.nan
    with pytest.raises(UserError, match="row 1 has a missing value"):
        check_values(tmp_path, x, spec)
    x[1, 1] = 200
    with pytest.raises(UserError, match="row 1 has values outside 0 to 1.*the units that the service receives"):
        check_values(tmp_path, x, spec)
    x[1, 1] = np.nan
    check_values(tmp_path, x, spec.model_copy(update={"missing": True}))
