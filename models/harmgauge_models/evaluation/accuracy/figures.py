"""Plots of the accuracy estimates and of the alarm on harm, made from `quality.json` alone."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harmgauge_models.evaluation.accuracy.baselines import METHODS
from harmgauge_models.evaluation.accuracy.sets import GROUPS

Quality = dict[str, Any]

GROUP_COLORS = {
    "clean": "#4a9c5d",
    "single": "#d9482b",
    "diluted": "#b07b1a",
    "two_kinds": "#8a63c4",
    "label_shift": "#2f86c9",
    "period": "#5b6675",
}
DETECTOR_COLORS = {"harm": "#d9482b", "score_evidence": "#2f86c9"}


def estimates(quality: Quality) -> Figure:
    """The estimate for each set against its accuracy; beside it the mean and the largest error of each method."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = quality["accuracy_estimate"]
    for group, label in GROUPS.items():
        own = [one for one in found["sets"] if one["group"] == group]
        if own:
            places = [[one[name] for one in own] for name in ("accuracy", "error_probability")]
            left.scatter(*places, 14, color=GROUP_COLORS[group], label=label, alpha=0.8, linewidth=0)
    least = min(min(one["accuracy"], one["error_probability"]) for one in found["sets"])
    span = [max(0, least - 0.03), 1]
    left.plot(span, span, ":", color="gray", linewidth=1)
    left.set(xlim=span, ylim=span, aspect="equal", xlabel="accuracy from labels", ylabel="estimate without labels")
    left.set_title("One dot per set of rows")
    left.legend(fontsize=7, loc="lower right")
    _errors(right, found["errors"])
    return figure


def _errors(axes: Axes, errors: dict[str, Any]) -> None:
    """The errors of one group: the corrupted rows or, if there are none, the periods or the first group."""
    group = next((group for group in ("single", "period") if group in errors), next(iter(errors)))
    table = {method: errors[group][method] for method in METHODS if method in errors[group]}
    at = range(len(table))
    colors = [GROUP_COLORS["single"] if method == "error_probability" else "#8a8a8a" for method in table]
    axes.barh(at, [error["mean"] for error in table.values()], 0.6, color=colors)
    axes.scatter([error["max"] for error in table.values()], at, 18, color=colors, marker="|", label="largest")
    axes.set_yticks(list(at), [METHODS[method] for method in table])
    axes.invert_yaxis()
    axes.set(xlabel="error of the estimate: mean (bar) and largest (tick)", title=f"Errors: {GROUPS[group]}")
    axes.grid(axis="x", alpha=0.25)


def alarms_by_drop(quality: Quality) -> Figure:
    """The share of streams with an alarm, and the rows until it, against the true drop in accuracy; a dot for each
    set.
    """
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = quality["accuracy_estimate"]["alarm"]
    for detector, color in DETECTOR_COLORS.items():
        drops = [one["drop"] for one in found["sets"]]
        left.scatter(drops, [one[detector]["alarms"] for one in found["sets"]], 16, color=color, label=detector)
        alarmed = [one for one in found["sets"] if one[detector]["mean_rows"] is not None]
        rows = [one[detector]["mean_rows"] for one in alarmed]
        right.scatter([one["drop"] for one in alarmed], rows, 16, color=color, label=detector)
    for axes in (left, right):
        axes.axvline(found["accuracy_drop"], color="gray", linewidth=0.8, linestyle="--")
        axes.set(xlabel="true drop of accuracy")
        axes.set_xscale("symlog", linthresh=0.02)
        axes.set_xticks([0, 0.02, 0.05, 0.1, 0.2, 0.5], ["0", ".02", ".05", ".1", ".2", ".5"])
        axes.minorticks_off()
        axes.legend(fontsize=8)
    left.set(ylim=(-0.05, 1.05), ylabel="share of streams", title=f"Alarms in {found['stream_rows']:,} rows")
    right.set(ylim=(1, 1.2 * found["stream_rows"]), yscale="log", ylabel="mean rows", title="Rows to the alarm")
    return figure
