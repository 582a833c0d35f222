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
    """A heading, a text, one of FIGURES, the HTML `shown` below it, and collapsible tables."""
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
        "Each kind over all severities: how well the score tells harmful from harmless, beside the baselines. Wrong "
        "against right answers is what counts if some of the traffic is clean: it asks for those that the classifier "
        "has wrong without any corruption, too. " + _distance(quality),
        "kinds",
        quality,
        [tables_by_kind.by_kind(quality), tables_by_kind.wrong_right(quality)],
    )


def _periods(quality: Quality) -> str:
    return section(
        "Over time",
        "The rows as they came, by period. No clean counterpart exists, so the labels tell which answers are wrong. "
        "p is that of the two-sample Kolmogorov-Smirnov test of all scores of the period against the bundle's "
        "reference; with many rows it is small for small changes. " + _distance(quality),
        "periods",
        quality,
        [tables_by_kind.periods(quality)],
    )


def _distance(quality: Quality) -> str:
    if quality["distance_on"] is None:
        return ""
    where = (
        "features of the classifier, to those of the bundle's reference"
        if quality["distance_on"] == "features"
        else "inputs, to those of clean rows that were set apart"
    )
    return f"The distance to the nearest is the mean to the 10 nearest by the standardised {where} (asinh of each)."


def _scores(quality: Quality) -> str:
    return section(
        "Scores by severity",
        f"A score is of use if it is high for harmful {figures.unit(quality)} and low for harmless ones. The "
        "baselines entropy and 1 - max probability are computed from the classifier's own distribution and cost "
        "nothing.",
        "scores",
        quality,
        [tables.scores(quality), tables.roc_areas(quality), tables.accuracies(quality)],
    )


def _roc(quality: Quality) -> str:
    return section(
        "ROC curves",
        f"At every threshold: which share of the harmful {figures.unit(quality)} lies above it, and which of the "
        "harmless ones.",
        "roc",
        quality,
        [tables.roc_areas(quality), tables.roc_areas_by_kind(quality)],
    )


def _contamination(quality: Quality) -> str:
    found = quality["contamination"]
    return section(
        "p-value by contamination",
        f"{found['batches']} batches of {found['batch_rows']} scores, some of them of harmful (or harmless) rows "
        f"and the rest of clean ones, each against {found['reference_rows']} reference scores by the two-sample "
        "Kolmogorov-Smirnov test. p should fall if they are harmful, and stay if they are harmless. The "
        "dashed line is p = 0.05.",
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
        f"Of the streams of clean traffic alone, {false_alarms:.1f} would have an alarm at that rate: a detector with "
        "many more of them owes its short delays to false alarms.",
        "delays",
        quality,
        [tables.delays(quality)],
    )


def _attacks(quality: Quality) -> str:
    rounded = any("rounded" in entry for entry in quality["attacks"]["by"].values())
    return section(
        "Attacks",
        f"On {quality['attacks']['rows']} pictures: FGSM, PGD and APGD by gradients and Square by squares, within the "
        "stated distance of each value; Carlini-Wagner with the least l2 distance; SLIDE with the least l1 distance "
        "of a few. Heads of harmgauge are trained on relatives of FGSM, PGD and Carlini-Wagner, not on APGD, Square "
        "and SLIDE. The white-box attack knows everything: "
        "within 8/255 it fools the classifier and keeps the score low at once. Fooled: right when clean, wrong now."
        + (
            " Attacks give real numbers; the rows called rounded are what the service would be sent." if rounded else ""
        ),
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
