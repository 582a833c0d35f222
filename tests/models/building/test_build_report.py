"""The report of `build`, drawn: other tests of builds leave its plot out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from harmgauge_models.building import report

SCORES = np.random.default_rng(0).exponential(size=300)
AREAS = {"score": 0.9, "entropy": 0.8, "doubt": 0.7}
JUDGEMENT: dict[str, Any] = {"unseen": {"roc_auc": AREAS}, "seen": {"roc_auc": AREAS}, "clean": {"roc_auc": None}}


@pytest.fixture(scope="module", autouse=True)
def _drawn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "Figure", Figure)
        yield


@pytest.mark.parametrize("losses", [[0.5, 0.25, 0.125], []])
def test_its_plot_and_its_figures(losses: list[float]) -> None:
    quality = {"agreement": 0.95, "calibration_flagged": 0.05, "judgement": JUDGEMENT}
    files = report.draw(losses, SCORES, 3.0, quality)
    assert sorted(files) == ["build.json", "build.png"]
    with Image.open(io.BytesIO(files["build.png"])) as drawn:
        assert drawn.size == (1500, 400)
        left = np.asarray(drawn.convert("L"))[:, :500]
    assert (left < 128).mean() > 0.001, "a curve, or why there is none"
    figures = json.loads(files["build.json"])
    assert {name: figures[name] for name in ("losses", "threshold", *quality)} == {
        "losses": losses, "threshold": 3.0, **quality
    }  # fmt: skip
    assert figures["score_quantiles"]["0.5"] == pytest.approx(np.median(SCORES))
