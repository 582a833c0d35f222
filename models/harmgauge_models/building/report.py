"""The report of `build`: plots of the student's training curve and of the calibration scores."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(
    losses: list[float], scores: npt.NDArray[np.float64], threshold: float, quality: dict[str, Any]
) -> dict[str, bytes]:
    """Draw the files of the bundle's `report/`: `build.png`, and its figures as `build.json`; `losses` are by epoch."""
    figure = Figure(figsize=(15, 4))
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.14, top=0.91, wspace=0.22)
    curve, histogram, areas = figure.subplots(1, 3)
    if losses:
        curve.plot(range(1, len(losses) + 1), losses, color="tab:blue")
        curve.set(xlabel="epoch", ylabel="mean KL divergence (nats)", yscale="log")
    else:
        known = "second network given, not trained" if "agreement" in quality else "no second network"
        curve.text(0.5, 0.5, known, ha="center", va="center")
        curve.set_axis_off()
    if "agreement" in quality:
        curve.set_title(f"Second network: agrees on {quality['agreement']:.1%} of the calibration rows")
    bins = np.geomspace(max(scores.min(), 1e-6), max(scores.max(), 2e-6), 60)
    histogram.hist(np.maximum(scores, bins[0]), bins=bins.tolist(), color="tab:gray")
    histogram.axvline(threshold, color="tab:red", label=f"threshold {threshold:.3g}")
    histogram.set(xscale="log", xlabel="harmfulness score", ylabel="calibration rows")
    histogram.set_title(f"{quality['calibration_flagged']:.1%} above the threshold")
    histogram.legend()
    _draw_areas(areas, quality["judgement"])
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100, metadata={"Software": None})
    figures = {"losses": losses, "threshold": threshold, "score_quantiles": _quantiles(scores), **quality}
    return {"build.png": image.getvalue(), "build.json": (json.dumps(figures, indent=1) + "\n").encode()}


def _draw_areas(axis: Axes, judgement: dict[str, Any]) -> None:
    """Plot the ROC AUC of harmed against harmless rows, and of wrong against right answers, for the score and the free
    baselines.
    """
    parts = {
        "unseen": "harmed, unseen\ndisturbances",
        "seen": "harmed, known\ndisturbances",
        "clean": "wrong,\nundisturbed",
    }
    shown = {label: judgement[part]["roc_auc"] for part, label in parts.items() if judgement[part]}
    shown = {label: found for label, found in shown.items() if found}
    for index, (name, color) in enumerate((("score", "tab:blue"), ("entropy", "tab:orange"), ("doubt", "tab:gray"))):
        label = "1 - max probability" if name == "doubt" else name
        places = [place + 0.27 * (index - 1) for place in range(len(shown))]
        axis.bar(places, [found[name] for found in shown.values()], 0.25, color=color, label=label)
    axis.set_xticks(range(len(shown)), list(shown))
    axis.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
    axis.set(ylim=(0, 1), ylabel="ROC AUC")
    axis.set_title("Ranking by the score and by the free baselines")
    if shown:
        axis.legend(loc="lower right")


def _quantiles(scores: npt.NDArray[np.float64]) -> dict[str, float]:
    levels = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    return {f"{level:g}": float(value) for level, value in zip(levels, np.quantile(scores, levels), strict=True)}
