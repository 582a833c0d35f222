"""The plots of an evaluation by kind of corruption and by period, made from its `quality.json` alone."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from harmgauge_models.evaluation.measure import SCORES

Quality = dict[str, Any]

SCORE_COLORS = {"score": "#d9482b", "entropy": "#2f86c9", "doubt": "#8a63c4", "distance": "#4a9c5d"}
GREEN = "#4a9c5d"
MOST_LABELS = 14


def areas_by_kind(quality: Quality) -> Figure:
    """ROC AUC of the score beside the baselines, for each kind over all severities and for all kinds together."""
    pooled = quality["pooled"]
    tables = {**pooled["by_kind"], "all": pooled["harmful_harmless"]}
    figure = Figure(figsize=(9.0, 1.2 + 0.34 * len(tables)), layout="constrained")
    axes = figure.subplots()
    at = range(len(tables))
    for number, (name, label) in enumerate(SCORES.items()):
        areas = [table["roc_auc"].get(name) for table in tables.values()]
        if any(area is not None for area in areas):
            shown = [float("nan") if area is None else area for area in areas]
            # With two classes, entropy and 1 - max probability rank alike, so one marker is drawn around the other.
            size = {"score": 60, "doubt": 45}.get(name, 22)
            axes.scatter(shown, at, size, color=SCORE_COLORS[name], label=label, zorder=9 - 2 * number)
    for index, table in enumerate(tables.values()):
        found = table["score_minus_entropy"]
        if found is not None and found["high"] < 0:
            axes.axhspan(index - 0.45, index + 0.45, color=SCORE_COLORS["score"], alpha=0.12, linewidth=0)
    axes.axvline(0.5, color="gray", linewidth=0.8, linestyle="--")
    axes.set_yticks(list(at), [name.replace("_", " ") for name in tables])
    axes.invert_yaxis()
    axes.set(xlabel="ROC AUC", title="Harmful against harmless by kind; shaded: entropy ranks better")
    axes.grid(axis="x", alpha=0.25)
    axes.legend(fontsize=8, ncols=len(SCORES), loc="upper center", bbox_to_anchor=(0.5, -0.9 / len(tables) - 0.03))
    return figure


def by_period(quality: Quality) -> Figure:
    """Accuracy, flags and p over time; beside it how well the score and the baselines separate wrong from right
    answers, as ROC AUC.
    """
    tables = quality["periods"]["by_period"]
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    at = range(len(tables))
    left.plot(at, [table["accuracy"] for table in tables.values()], "o-", color=GREEN, label="accuracy")
    left.plot(
        at, [table["flagged"] for table in tables.values()], "o-", color=SCORE_COLORS["score"], label="share flagged"
    )
    left.plot(at, [table["ks_p"] for table in tables.values()], ":", color="gray", label="p against the reference")
    left.set(ylim=(0, 1.18), title="Accuracy and flags over time")
    left.legend(fontsize=8, ncols=3, loc="upper center")
    for number, (name, label) in enumerate(SCORES.items()):
        areas = [table["wrong_right"]["roc_auc"].get(name) for table in tables.values()]
        if any(area is not None for area in areas):
            shown = [float("nan") if area is None else area for area in areas]
            right.plot(at, shown, "o-", markersize=4, color=SCORE_COLORS[name], label=label, zorder=9 - number)
    right.axhline(0.5, color="gray", linewidth=0.8, linestyle="--")
    right.set(ylabel="ROC AUC", title="Wrong against right answers")
    right.legend(fontsize=8)
    every = max(1, -(-len(tables) // MOST_LABELS))
    for axes in (left, right):
        axes.set_xticks(list(at)[::every], list(tables)[::every], rotation=45, ha="right")
    return figure
