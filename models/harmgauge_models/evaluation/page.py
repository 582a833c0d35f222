"""`report/evaluation.html`: one file that needs no other."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import Any

from harmgauge_models.evaluation import figures, tables, tables_by_kind
from harmgauge_models.evaluation.examples import Example
from harmgauge_models.evaluation.figures import FIGURES

Quality = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #ffffff; --line: #d8dee6; --mark: #c8391d }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e2e7ee; --soft: #9aa6b5; --paper: #14181e; --line: #333c48; --mark: #ff8265 }
}
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif }
h1 { font-size: 1.7rem; margin: 0 }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; border-top: 1px solid var(--line); padding-top: 1rem }
p { max-width: 46rem } .soft, figcaption { color: var(--soft) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 1rem; margin: 1.4rem 0 }
dl div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem }
dt { color: var(--soft); font-size: .85rem } dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums }
figure { margin: 1rem 0 } figure > svg { width: 100%; height: auto; font-family: system-ui, sans-serif }
figcaption { font-size: .9rem }
details { margin: .6rem 0 } summary { cursor: pointer; color: var(--soft) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .8rem; margin: .6rem 0 }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem }
th, td { padding: .25rem .6rem .25rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
th:first-child { text-align: left } thead th { color: var(--soft); font-weight: 500 } tbody th { font-weight: 500 }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none }
.examples li { font-size: .85rem } .examples img { width: 6rem; height: 6rem; image-rendering: pixelated }
.flagged { color: var(--mark); font-weight: 600 }
.warning { border-left: .3rem solid var(--mark); padding-left: .8rem }
"""


def page(quality: Quality, examples: list[Example], class_names: tuple[str, ...]) -> bytes:
    """The whole document, from the numbers of `quality.json` and some pictures, if it is about such."""
    bundle = quality["bundle"]
    title = f"Evaluation of {bundle['name']}, version {bundle['version']}"
    there = figures.drawn(quality)
    sections = "\n".join(part(quality) for name, part in _PARTS.items() if name in there)
    thing = figures.unit(quality).removesuffix("s")
    document = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="soft">{escape(_origin(quality))}</p>
</header>
<main>
{_headlines(quality)}
<p><b>Harmful</b>: the classifier is right on the clean {thing} and wrong on the corrupted one. <b>Harmless</b>: it is
right on both. {thing.capitalize()}s that it has wrong when clean are in neither group.</p>
{_below_entropy(quality)}
{sections}
{_examples(quality, examples, class_names)}
</main>
</body>
</html>
"""
    return document.encode()


def _origin(quality: Quality) -> str:
    what = figures.unit(quality)
    parts = [f"Detector: {quality['bundle']['detector']}. {quality[what]['rows']} labelled {what}."]
    if quality["severity"]:
        kinds = len(quality["pooled"]["by_kind"])
        after = " after CIFAR-10-C (Hendrycks and Dietterich 2019)" if what == "pictures" else ""
        layout = "" if what == "pictures" else f" The rows are taken for: {quality['layout']}."
        parts.append(f"{kinds} kinds of corruption{after} at severity {', '.join(quality['severity'])}.{layout}")
    if quality["left_out"]:
        parts.append(f"The classifier gives no numbers for {', '.join(quality['left_out'])}: left out.")
    if "periods" in quality:
        parts.append(f"{quality['periods']['rows']} rows in {len(quality['periods']['by_period'])} periods.")
    parts.append("All numbers are in quality.json.")
    if quality["quick"]:
        parts.append(f"A quick run, of few {what}, kinds and batches: its figures are rough.")
    return " ".join(parts)


def _headlines(quality: Quality) -> str:
    levels, clean = quality["severity"], quality["clean"]
    found = [("accuracy, clean", f"{clean['accuracy']:.1%}")]
    if levels:
        last = list(levels)[-1]
        found.append((f"accuracy, severity {last}", f"{levels[last]['accuracy']:.1%}"))
    found.append((f"clean {figures.unit(quality)} flagged", f"{clean['flagged']:.1%}"))
    if levels:
        middle = str(quality["delays"]["severity"])
        for name, label in (("score", "score"), ("entropy", "entropy")):
            area = levels[middle]["roc_auc"][name]
            shown = tables.ABSENT if area is None else f"{area:.3f}"
            found.append((f"ROC AUC of the {label}, severity {middle}", shown))
    if "periods" in quality:
        for name, label in (("score", "score"), ("entropy", "entropy")):
            area = quality["periods"]["wrong_right"]["roc_auc"][name]
            shown = tables.ABSENT if area is None else f"{area:.3f}"
            found.append((f"ROC AUC of the {label}, wrong/right, over time", shown))
    return "<dl>" + "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in found) + "</dl>"


def _below_entropy(quality: Quality) -> str:
    found = quality["below_entropy"]
    if not found:
        return (
            "<p>At no kind of corruption, severity or period does the classifier's entropy tell better than the score "
            "by more than the 95 % interval of their difference.</p>"
        )
    return f"""<section>
<h2>Where entropy is better</h2>
<p class="warning">At these {len(found)} figures of this report <b>the score tells worse than the classifier's own
entropy</b>, which costs nothing, by more than the 95 % interval of their difference. (Of figures at which both are
equally good, one in forty would be listed by chance.)</p>
{tables_by_kind.below_entropy(quality)}
</section>"""


def _kinds(quality: Quality) -> str:
    return _section(
        "Kinds of corruption",
        "Each kind over all severities: how well the score tells harmful from harmless, beside the baselines. Wrong "
        "against right answers is what counts if some of the traffic is clean: it asks for those that the classifier "
        "has wrong without any corruption, too. " + _distance(quality),
        "kinds",
        quality,
        [tables_by_kind.by_kind(quality), tables_by_kind.wrong_right(quality)],
    )


def _periods(quality: Quality) -> str:
    return _section(
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
    return _section(
        "Scores by severity",
        f"A score is of use if it is high for harmful {figures.unit(quality)} and low for harmless ones. The "
        "baselines entropy and 1 - max probability are computed from the classifier's own distribution and cost "
        "nothing.",
        "scores",
        quality,
        [tables.scores(quality), tables.roc_areas(quality), tables.accuracies(quality)],
    )


def _roc(quality: Quality) -> str:
    return _section(
        "ROC curves",
        f"At every threshold: which share of the harmful {figures.unit(quality)} lies above it, and which of the "
        "harmless ones.",
        "roc",
        quality,
        [tables.roc_areas(quality), tables.roc_areas_by_kind(quality)],
    )


def _contamination(quality: Quality) -> str:
    found = quality["contamination"]
    return _section(
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
    return _section(
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
    return _section(
        "Attacks",
        f"By Foolbox on {quality['attacks']['rows']} pictures: FGSM and PGD within 8/255 of each pixel, Carlini-Wagner "
        "with the least l2 distance, SLIDE with the least l1 distance of a few. The white-box attack knows everything: "
        "within 8/255 it fools the classifier and keeps the score low at once. Fooled: right when clean, wrong now."
        + (
            " Attacks give real numbers; the rows called rounded are what the service would be sent." if rounded else ""
        ),
        "attacks",
        quality,
        [tables.attacks(quality)],
    )


_PARTS: dict[str, Callable[[Quality], str]] = {
    "scores": _scores,
    "kinds": _kinds,
    "roc": _roc,
    "periods": _periods,
    "contamination": _contamination,
    "delays": _delays,
    "attacks": _attacks,
}
"""By the figure that each shows."""


def _section(heading: str, text: str, figure: str, quality: Quality, numbers: list[str]) -> str:
    with figures.style(figure):
        drawn = figures.svg(FIGURES[figure](quality), heading)
    return f"""<section>
<h2>{escape(heading)}</h2>
<p>{escape(text)}</p>
<figure>
{drawn}
</figure>
<details><summary>The numbers</summary>
{"".join(numbers)}
</details>
</section>"""


def _examples(quality: Quality, examples: list[Example], class_names: tuple[str, ...]) -> str:
    if not examples:
        return ""
    items = "\n".join(_example(example, quality["threshold"], class_names) for example in examples)
    return f"""<section>
<h2>Examples</h2>
<p>Pictures drawn at random, clean and corrupted, with prediction and score of both; scores above the threshold of
{quality["threshold"]:.3g} are <span class="flagged">marked</span>.</p>
<ul class="examples">
{items}
</ul>
</section>"""


def _example(example: Example, threshold: float, class_names: tuple[str, ...]) -> str:
    parts = []
    for when, url, prediction, score in zip(
        ("clean", "corrupted"), example.pictures, example.predictions, example.scores, strict=True
    ):
        alt = f"{class_names[example.label]}, {when}"
        mark = ' class="flagged"' if score > threshold else ""
        text = f"{escape(class_names[prediction])} <span{mark}>{score:.3g}</span>"
        parts.append((f'<img src="{url}" alt="{escape(alt)}" width="96" height="96">', text))
    pictures, texts = zip(*parts, strict=True)
    kind = f"{example.kind.replace('_', ' ')}, severity {example.severity}"
    return (
        f"<li>{''.join(pictures)}<br>{' → '.join(texts)}<br>"
        f'<span class="soft">{example.group}: {escape(kind)}</span></li>'
    )
