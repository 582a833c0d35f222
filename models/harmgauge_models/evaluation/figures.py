"""The plots of an evaluation, made from its `quality.json` alone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harmgauge_models.evaluation.accuracy.figures import alarms_by_drop, estimates
from harmgauge_models.evaluation.attack_names import ATTACKS
from harmgauge_models.evaluation.figures_by_kind import SCORE_COLORS, areas_by_kind, by_period
from harmgauge_models.evaluation.measure import SCORES

INK = "#010203"
"""Placeholder for the text colour of the page."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.facecolor": "none",
    "legend.edgecolor": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def style(name: str) -> AbstractContextManager[None]:
    """The settings for making and writing figures; `name` keeps the ids of several figures distinct."""
    return mpl.rc_context(_STYLE | {"svg.hashsalt": name})


def svg(figure: Figure, title: str) -> str:
    """An `<svg>` element for a page, described by `title`."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # not needed inside a page
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # ids that several figures would share
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1).strip()


def png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


Quality = dict[str, Any]

COLORS = {"harmful": "#d9482b", "harmless": "#2f86c9", **SCORE_COLORS}
DETECTOR_COLORS = ("#d9482b", "#2f86c9", "#8a63c4", "#4a9c5d", "#b07b1a")
SEVERITY_COLORS = {
    "1": "#f2b84b",
    "2": "#ee8f3c",
    "3": "#e0602f",
    "4": "#c23d55",
    "5": "#a04a92",
    "none": "#2f86c9",
}

LEAST_P = 1e-6
"""Smaller p-values are drawn at this value."""

WIDE, TALL = 9.0, 3.4


def drawn(quality: Quality) -> list[str]:
    """The members of FIGURES for which there are numbers."""
    needed = {"scores": "pooled", "roc": "pooled", "kinds": "pooled"}
    estimated = {"accuracy", "harm"} if "sets" in quality["accuracy_estimate"] else set()
    return [name for name in FIGURES if needed.get(name, name) in quality or name in estimated]


def scores_by_severity(quality: Quality) -> Figure:
    """Mean score of both groups with its spread, and the accuracy; beside it the ROC AUC of the score and the
    baselines.
    """
    figure, (left, right) = _two()
    levels = _levels(quality)
    at = range(len(levels))
    for offset, group in ((-0.2, "harmful"), (0.2, "harmless")):
        shown = [index for index in at if "score" in levels[index][1][group]]
        scores = [levels[index][1][group]["score"] for index in shown]
        left.bar(
            [index + offset for index in shown],
            [score["mean"] for score in scores],
            0.38,
            yerr=[score["std"] for score in scores],
            color=COLORS[group],
            ecolor="#8a8a8a",
            error_kw={"elinewidth": 1},
            label=group,
        )
    left.set_ylim(bottom=0)
    left.set(xlabel="severity", ylabel="score: mean and standard deviation", title="Scores and accuracy")
    left.set_xticks(list(at), [severity for severity, _ in levels])
    accuracy = left.twinx()
    accuracy.plot(at, [level["accuracy"] for _, level in levels], "o--", color="#4a9c5d", label="accuracy")
    accuracy.set(ylim=(0, 1), ylabel="accuracy of the classifier")
    handles = [axes.get_legend_handles_labels() for axes in (left, accuracy)]
    left.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1], fontsize=8, ncols=3, loc="upper center")
    left.set_ylim(top=left.get_ylim()[1] * 1.18)  # room for the legend
    for number, (name, label) in enumerate(SCORES.items()):
        areas = [level["roc_auc"].get(name) for _, level in levels]
        if any(area is not None for area in areas):
            drawn_areas = [float("nan") if area is None else area for area in areas]
            right.plot(at, drawn_areas, "o-", color=COLORS[name], label=label, zorder=9 - number)
    right.set_xticks(list(at), [severity for severity, _ in levels])
    right.set(xlabel="severity", ylabel="ROC AUC", title="Harmful against harmless")
    right.legend(fontsize=8)
    return figure


def roc_curves(quality: Quality) -> Figure:
    """The bundle's score at every severity; beside it the score and the baselines at the severity of the delays."""
    figure, (left, right) = _two(tall=4.2)
    for severity, level in _levels(quality):
        if "roc_curve" in level:
            curve = level["roc_curve"]["score"]
            label = f"severity {severity}: {level['roc_auc']['score']:.3f}"
            left.plot(curve["harmless"], curve["harmful"], color=SEVERITY_COLORS[severity], label=label)
    middle = quality["severity"][str(quality["delays"]["severity"])]
    for name, label in SCORES.items():
        if name in middle.get("roc_curve", {}):
            curve = middle["roc_curve"][name]
            area = f"{label}: {middle['roc_auc'][name]:.3f}"
            right.plot(curve["harmless"], curve["harmful"], color=COLORS[name], label=area)
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], ":", color="gray", linewidth=1)
        axes.set(
            xlabel="share of harmless above the threshold",
            ylabel="share of harmful above the threshold",
            aspect="equal",
        )
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, title="ROC AUC", title_fontsize=8, loc="lower right")
    left.set_title("harmgauge, by severity")
    right.set_title(f"Beside the baselines, severity {quality['delays']['severity']}")
    return figure


def p_by_contamination(quality: Quality) -> Figure:
    """Mean p of batches against the share of harmful and of harmless rows; the maximum as a thin line."""
    figure, panels = _two()
    for axes, (group, by_severity) in zip(panels, quality["contamination"]["p"].items(), strict=True):
        for severity, by_share in by_severity.items():
            shares = [100 * float(share) for share in by_share]
            color = SEVERITY_COLORS[severity]
            for name, style, label in (("mean", "o-", f"severity {severity}"), ("max", ":", None)):
                values = [max(LEAST_P, p[name]) for p in by_share.values()]
                axes.plot(shares, values, style, color=color, markersize=3.5, linewidth=1.3, label=label)
        axes.axhline(0.05, color="gray", linewidth=0.8, linestyle="--")
        axes.set(yscale="log", ylim=(LEAST_P / 1.5, 1.6), xlabel=f"{group} {unit(quality)} in the batch, %", ylabel="p")
        axes.set_title(f"{group.capitalize()}: mean p, and maximum (dotted)")
        axes.legend(fontsize=8, loc="lower left")
    return figure


def detection_delays(quality: Quality) -> Figure:
    """Rows until the alarm against the share of changed rows, for both groups."""
    figure, panels = _two(one_scale=True)
    found = quality["delays"]
    for axes, group in zip(panels, ("harmful", "harmless"), strict=True):
        for number, (detector, groups) in enumerate(found["detectors"].items()):
            color = DETECTOR_COLORS[number % len(DETECTOR_COLORS)]
            by_share = groups.get(group, {})
            shares = [100 * float(share) for share in by_share]
            rows = [entry["mean_rows"] for entry in by_share.values()]
            axes.plot(shares, rows, "o-", color=color, label=detector)
        axes.axhline(found["most_rows"], color="gray", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel=f"{group} rows in the traffic, %", ylabel="rows to the alarm, mean")
        axes.set_xticks([100 * share for share in found["shares"]], [f"{share:.0%}" for share in found["shares"]])
        axes.minorticks_off()
        axes.set_title(group.capitalize())
        axes.legend(fontsize=8)
    return figure


def attacks(quality: Quality) -> Figure:
    """ROC AUC by attack; beside it the share of images that were fooled, and of those fooled without a flag."""
    figure, (left, right) = _two()
    found = quality["attacks"]["by"]
    at, labels = range(len(found)), [ATTACKS[name].replace(" ", "\n", 1) for name in found]
    left.bar(at, [entry["roc_auc"] or 0 for entry in found.values()], 0.6, color=COLORS["score"])
    left.axhline(0.5, color="gray", linewidth=0.8, linestyle="--")
    left.set(ylim=(0, 1), ylabel="ROC AUC", title="Attacked against clean")
    for offset, name, label, color in (
        (-0.2, "fooled", "classifier fooled", COLORS["harmless"]),
        (0.2, "evaded", "and not flagged", COLORS["harmful"]),
    ):
        shares = [entry[name] for entry in found.values()]
        right.bar([index + offset for index in at], shares, 0.38, color=color, label=label)
    right.set(ylim=(0, 1.18), ylabel="share of pictures", title="Success of the attack")
    right.legend(fontsize=8, ncols=2, loc="upper center")
    for axes in (left, right):
        axes.set_xticks(list(at), labels)
    return figure


FIGURES: dict[str, Callable[[Quality], Figure]] = {
    "accuracy": estimates,
    "harm": alarms_by_drop,
    "scores": scores_by_severity,
    "roc": roc_curves,
    "contamination": p_by_contamination,
    "delays": detection_delays,
    "attacks": attacks,
    "kinds": areas_by_kind,
    "periods": by_period,
}


def unit(quality: Quality) -> str:
    """The unit of judgement: pictures or rows."""
    return "pictures" if "pictures" in quality else "rows"


def _two(tall: float = TALL, *, one_scale: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDE, tall), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=one_scale))
    return figure, panels


def _levels(quality: Quality) -> list[tuple[str, Any]]:
    return list(quality["severity"].items())
