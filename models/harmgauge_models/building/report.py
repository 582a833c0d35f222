"""What `build` shows of its work: the student's training curve and the calibration scores, drawn."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure


def draw(
    losses: list[float], scores: npt.NDArray[np.float64], threshold: float, quality: dict[str, Any]
) -> dict[str, bytes]:
    """Files for the bundle's `report/`: `build.png`, and its figures as `build.json`; `losses` by epoch."""
    figure = Figure(figsize=(10, 4))
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.14, top=0.91, wspace=0.22)
    curve, histogram = figure.subplots(1, 2)
    if losses:
        curve.plot(range(1, len(losses) + 1), losses, color="tab:blue")
        curve.set(xlabel="epoch", ylabel="mean KL divergence (nats)", yscale="log")
    else:
        curve.text(0.5, 0.5, "second network given, not trained", ha="center", va="center")
        curve.set_axis_off()
    curve.set_title(f"Second network: agrees on {quality['agreement']:.1%} of the calibration rows")
    bins = np.geomspace(max(scores.min(), 1e-6), max(scores.max(), 2e-6), 60)
    histogram.hist(np.maximum(scores, bins[0]), bins=bins.tolist(), color="tab:gray")
    histogram.axvline(threshold, color="tab:red", label=f"threshold {threshold:.3g}")
    histogram.set(xscale="log", xlabel="harmfulness score", ylabel="calibration rows")
    histogram.set_title(f"{quality['calibration_flagged']:.1%} above the threshold")
    histogram.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100, metadata={"Software": None})
    figures = {"losses": losses, "threshold": threshold, "score_quantiles": _quantiles(scores), **quality}
    return {"build.png": image.getvalue(), "build.json": (json.dumps(figures, indent=1) + "\n").encode()}


def _quantiles(scores: npt.NDArray[np.float64]) -> dict[str, float]:
    levels = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    return {f"{level:g}": float(value) for level, value in zip(levels, np.quantile(scores, levels), strict=True)}
