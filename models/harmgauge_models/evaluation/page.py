"""`report/evaluation.html`: a self-contained HTML file."""

from __future__ import annotations

from html import escape
from typing import Any

from harmgauge_models.evaluation import figures, tables, tables_by_kind
from harmgauge_models.evaluation.causes_section import causes_section
from harmgauge_models.evaluation.examples import Example
from harmgauge_models.evaluation.sections import SECTIONS

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
    """The whole document, from the numbers in `quality.json` and, if images were judged, some examples."""
    bundle = quality["bundle"]
    title = f"Evaluation of {bundle['name']}, version {bundle['version']}"
    there = figures.drawn(quality)
    sections = "\n".join(part(quality) for name, part in SECTIONS.items() if name in there)
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
{_no_estimate(quality)}
<p><b>Harmful</b>: the classifier is right on the clean {thing} and wrong on the corrupted one. <b>Harmless</b>: it is
right on both. {thing.capitalize()}s that it gets wrong when clean are in neither group.</p>
{_below_entropy(quality)}
{sections}
{causes_section(quality)}
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
        layout = "" if what == "pictures" else f" The rows are treated as: {quality['layout']}."
        parts.append(f"{kinds} kinds of corruption{after} at severity {', '.join(quality['severity'])}.{layout}")
    if quality["left_out"]:
        parts.append(f"Left out because the classifier returns no finite scores: {', '.join(quality['left_out'])}.")
    if "periods" in quality:
        parts.append(f"{quality['periods']['rows']} rows in {len(quality['periods']['by_period'])} periods.")
    parts.append("All numbers are in quality.json.")
    if quality["quick"]:
        parts.append(f"This was a quick run with few {what}, kinds and batches: its figures are rough.")
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


def _no_estimate(quality: Quality) -> str:
    missing = quality["accuracy_estimate"].get("missing")
    return "" if missing is None else f"<p>There is no estimate of accuracy: {escape(missing)}.</p>"


def _below_entropy(quality: Quality) -> str:
    found = quality["below_entropy"]
    if not found:
        return (
            "<p>The classifier's entropy ranks no kind of corruption, severity or period better than the score by more "
            "than the 95 % interval of their difference.</p>"
        )
    return f"""<section>
<h2>Where entropy is better</h2>
<p class="warning">In these {len(found)} figures of this report <b>the score ranks worse than the classifier's own
entropy</b>, which costs nothing, by more than the 95 % interval of their difference. (If both are equally good, one
figure in forty is listed by chance.)</p>
{tables_by_kind.below_entropy(quality)}
</section>"""


def _examples(quality: Quality, examples: list[Example], class_names: tuple[str, ...]) -> str:
    if not examples:
        return ""
    items = "\n".join(_example(example, quality["threshold"], class_names) for example in examples)
    return f"""<section>
<h2>Examples</h2>
<p>Random pictures, clean and corrupted, with the prediction and score of both. Scores above the threshold of
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
