"""The sections of the report, each with a figure and its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import Any

from harmgauge_models.evaluation import figures, tables, tables_by_kind
from harmgauge_models.evaluation.accuracy import tables as accuracy_tables
from harmgauge_models.evaluation.accuracy import texts
from harmgauge_models.evaluation.figures import FIGURES

Quality = dict[str, Any]


def section(heading: str, text: str, figure: str, quality: Quality, numbers: list[str], *, shown: str = "") -> str:
    """Build a section from a heading, a text, one of FIGURES, the HTML `shown` below it, and collapsible tables."""
    with figures.style(figure):
        drawn = figures.svg(FIGURES[figure](quality), heading)
    return f"""<section>
<h2>{escape(heading)}</h2>
<p>{escape(text)}</p>
<figure>
{drawn}
</figure>
{shown}
<details><summary>The numbers</summary>
{"".join(numbers)}
</details>
</section>"""


def _accuracy(quality: Quality) -> str:
    return section(
        "The estimate of accuracy",
        texts.estimate(quality),
        "accuracy",
        quality,
        [accuracy_tables.coverage(quality), accuracy_tables.sets(quality)],
        shown=accuracy_tables.errors(quality)
        + f'<p class="warning">{escape(texts.unseen(quality))}</p>'
        + accuracy_tables.stress(quality),
    )


def _harm(quality: Quality) -> str:
    return section(
        "The alarm on harm",
        texts.harm(quality),
        "harm",
        quality,
        [accuracy_tables.alarms_by_set(quality)],
        shown=accuracy_tables.alarms_by_drop(quality) + accuracy_tables.alarms_by_floor(quality),
    )


def _kinds(quality: Quality) -> str:
    return section(
        "Kinds of corruption",
        "How well the score and the baselines separate harmful from harmless inputs, by kind over all severities. If "
        "some of the traffic is clean, wrong against right answers is what counts: it includes those that the "
        "classifier gets wrong without any corruption. " + _distance(quality),
        "kinds",
        quality,
        [tables_by_kind.by_kind(quality), tables_by_kind.wrong_right(quality)],
    )


def _periods(quality: Quality) -> str:
    return section(
        "Over time",
        "The rows as they came, by period. They have no clean counterpart, so the labels decide which answers are "
        "wrong. p is the p-value of the two-sample Kolmogorov-Smirnov test of all scores of the period against the "
        "bundle's reference; with many rows, even small changes make it small. " + _distance(quality),
        "periods",
        quality,
        [tables_by_kind.periods(quality)],
    )


def _distance(quality: Quality) -> str:
    if quality["distance_on"] is None:
        return ""
    where = (
        "rows of the bundle's reference, by the standardised features of the classifier"
        if quality["distance_on"] == "features"
        else "clean rows that were set apart, by the standardised inputs"
    )
    return f"The distance to neighbours is the mean distance to the 10 nearest {where} (asinh of each)."


def _scores(quality: Quality) -> str:
    return section(
        "Scores by severity",
        f"A useful score is high for harmful {figures.unit(quality)} and low for harmless ones. The baselines, "
        "entropy and 1 - max probability, are computed from the classifier's own distribution and cost nothing.",
        "scores",
        quality,
        [tables.scores(quality), tables.roc_areas(quality), tables.accuracies(quality)],
    )


def _roc(quality: Quality) -> str:
    return section(
        "ROC curves",
        f"For every threshold, the share of the harmful {figures.unit(quality)} above it, by the share of the "
        "harmless ones above it.",
        "roc",
        quality,
        [tables.roc_areas(quality), tables.roc_areas_by_kind(quality)],
    )


def _contamination(quality: Quality) -> str:
    found = quality["contamination"]
    return section(
        "p-value by contamination",
        f"{found['batches']} batches of {found['batch_rows']} scores, mixed from harmful (or harmless) and clean rows. "
        f"Each batch is compared with {found['reference_rows']} reference scores by the two-sample Kolmogorov-Smirnov "
        "test. p should fall as more rows are harmful, and should not change with harmless ones. The dashed line is "
        "p = 0.05.",
        "contamination",
        quality,
        [tables.contamination(quality)],
    )


def _delays(quality: Quality) -> str:
    found = quality["delays"]
    false_alarms = found["streams"] * -math.expm1(-found["most_rows"] / found["rows_between_false_alarms"])
    return section(
        "Detection delay",
        f"Rows of changed traffic until the alarm, at severity {found['severity']}, all kinds together: means of "
        f"{found['streams']} streams, all detectors at {found['rows_between_false_alarms']:,} rows between false "
        f"alarms. A stream without an alarm counts as {found['most_rows']:,} rows (the dashed line). "
        f"At that rate, {false_alarms:.1f} of the streams of clean traffic alone would raise an alarm: a detector "
        "that alarms in many more of them owes its short delays to false alarms.",
        "delays",
        quality,
        [tables.delays(quality)],
        shown=_beside(quality),
    )


def _beside(quality: Quality) -> str:
    found = quality["delays"].get("beside")
    if found is None:
        return ""
    text = (
        f"Other detectors test every {found['window_rows']} rows against the reference's features. Their thresholds "
        f"are exact for {found['clean_windows']:,} clean windows of this data; their delays follow from "
        f"{found['changed_windows']:,} changed windows each. The bundle's own detectors guarantee the rate instead, "
        "with the service's own windows, and pay for that with longer delays. Harmless changes need no alarm."
    )
    return f"<p>{escape(text)}</p>{tables.beside(quality)}"


def _attacks(quality: Quality) -> str:
    rounded = any("rounded" in entry for entry in quality["attacks"]["by"].values())
    return section(
        "Attacks",
        f"Made on {quality['attacks']['rows']} pictures: FGSM, PGD and APGD follow gradients and Square tries squares, "
        "within the stated distance of each value; Carlini-Wagner with the least l2 distance; SLIDE with the least l1 "
        "distance of a few. Heads are trained on relatives of FGSM, PGD and Carlini-Wagner, but not on APGD, Square "
        "and SLIDE. The white-box attack has full access to the bundle: within 8/255, it fools the classifier and at "
        "the same time keeps the score low. Fooled: right when clean, wrong when attacked."
        + (" Attacks produce real numbers; the rounded rows are what the service would receive." if rounded else ""),
        "attacks",
        quality,
        [tables.attacks(quality)],
    )


SECTIONS: dict[str, Callable[[Quality], str]] = {
    "accuracy": _accuracy,
    "harm": _harm,
    "scores": _scores,
    "kinds": _kinds,
    "roc": _roc,
    "periods": _periods,
    "contamination": _contamination,
    "delays": _delays,
    "attacks": _attacks,
}
"""The sections by their figure."""
