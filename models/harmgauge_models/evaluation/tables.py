"""The numbers of an evaluation as HTML tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from harmgauge_models.evaluation.attack_names import ATTACKS
from harmgauge_models.evaluation.measure import SCORES
from harmgauge_models.evaluation.severity import GROUPS
from harmgauge_models.evaluation.window_statistics import LABELS

Quality = dict[str, Any]

ABSENT = "–"  # noqa: RUF001 - shown in empty cells


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table. The first cell of each row is its header; all texts are escaped here."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>\n<thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def score_names(quality: Quality) -> dict[str, str]:
    """The members of SCORES that were measured."""
    return {name: label for name, label in SCORES.items() if name in quality["clean"]}


def by_level(quality: Quality, name: str) -> dict[str, list[Any]]:
    """For each kind, the entry `name` at every severity; None if the severity lacks that kind."""
    levels = quality["severity"].values()
    kinds = dict.fromkeys(kind for level in levels for kind in level[name])
    return {kind: [level[name].get(kind) for level in levels] for kind in kinds}


def scores(quality: Quality) -> str:
    """Both groups by severity: rows, flags, and the means and spreads of all scores."""
    head = [
        "severity",
        "accuracy",
        "group",
        "rows",
        "flagged",
        *(f"{label}, mean ± std" for label in score_names(quality).values()),
    ]
    rows = []
    clean = quality["clean"]
    rows.append(["clean", share(clean["accuracy"]), "all", f"{clean['rows']}", *_flags_and_spreads(clean, quality)])
    for severity, level in quality["severity"].items():
        for group in GROUPS:
            part = level[group]
            rows.append(
                [severity, share(level["accuracy"]), group, f"{part['rows']}", *_flags_and_spreads(part, quality)]
            )
    return table("Scores by severity, all kinds together", head, rows)


def roc_areas(quality: Quality) -> str:
    """ROC AUC over all kinds, and separately over kinds unlike those that the detector was trained on."""
    groups = {"roc_auc": "ROC AUC, harmful against harmless"}
    if any("roc_auc_unseen" in level for level in quality["severity"].values()):
        groups["roc_auc_unseen"] = "The same, for kinds unlike those that the second network was trained on"
    names = score_names(quality)
    tables = []
    for group, caption in groups.items():
        rows = [
            [severity, *(number(level.get(group, {}).get(name), 3) for name in names)]
            for severity, level in quality["severity"].items()
        ]
        tables.append(table(caption, ["severity", *names.values()], rows))
    return "".join(tables)


def roc_areas_by_kind(quality: Quality) -> str:
    levels, resembled = quality["severity"], quality["resembled_kinds"]
    rows = []
    for kind, areas in by_level(quality, "roc_auc_by_kind").items():
        name = kind.replace("_", " ") + (" (trained on similar)" if kind in resembled else "")
        rows.append([name, *(number(area, 3) for area in areas)])
    return table("ROC AUC of the score by kind", ["kind", *(f"severity {severity}" for severity in levels)], rows)


def accuracies(quality: Quality) -> str:
    """The classifier's accuracy by kind and severity."""
    levels = quality["severity"]
    rows = [
        [kind.replace("_", " "), *(ABSENT if part is None else share(part) for part in parts)]
        for kind, parts in by_level(quality, "accuracy_by_kind").items()
    ]
    rows.append(["all", *(share(level["accuracy"]) for level in levels.values())])
    if all("corrected_accuracy" in level for level in levels.values()):
        rows.append(["all, corrected", *(share(level["corrected_accuracy"]) for level in levels.values())])
    return table("Accuracy by kind", ["kind", *(f"severity {severity}" for severity in levels)], rows)


def contamination(quality: Quality) -> str:
    found = quality["contamination"]
    shares = list(dict.fromkeys(share for group in found["p"].values() for level in group.values() for share in level))
    tables = []
    for name, title in (("mean", "Mean"), ("max", "Largest")):
        rows = [
            [f"{group}, severity {severity}", *(_p(by_share.get(share), name) for share in shares)]
            for group, by_severity in found["p"].items()
            for severity, by_share in by_severity.items()
        ]
        caption = f"{title} p of {found['batches']} batches of {found['batch_rows']} rows"
        tables.append(table(caption, ["share", *(f"{float(share):.0%}" for share in shares)], rows))
    return "".join(tables)


def delays(quality: Quality) -> str:
    found = quality["delays"]
    columns = [(group, f"{share:g}") for group in GROUPS for share in found["shares"]]
    rows = []
    for detector, groups in found["detectors"].items():
        entries = [groups.get(group, {}).get(share) for group, share in columns]
        rows.append([detector, *(_delay(entry, found["streams"]) for entry in [*entries, groups["none"]["0"]])])
    head = ["detector", *(f"{float(share):.0%} {group}" for group, share in columns), "clean alone"]
    return table("Mean rows to the alarm (streams with an alarm, unless all)", head, rows)


def beside(quality: Quality) -> str:
    """The bundle's detectors and others at the same rate of false alarms; empty if the bundle has no features."""
    found = quality["delays"].get("beside")
    if found is None:
        return ""
    columns = [(group, f"{share:g}") for group in GROUPS for share in quality["delays"]["shares"]]
    most = quality["delays"]["most_rows"]
    rows = []
    for names, part in (({}, found["own"]), (LABELS, found["others"])):
        for detector, groups in part.items():
            entries = [groups.get(group, {}).get(share) for group, share in columns]
            rows.append([names.get(detector, detector), *(_rows_to_alarm(entry, most) for entry in entries)])
    head = ["detector", *(f"{float(share):.0%} {group}" for group, share in columns)]
    return table(
        f"Mean rows to the alarm at {found['rows_between_false_alarms']:,} rows between false alarms", head, rows
    )


def attacks(quality: Quality) -> str:
    """Each attack in real numbers, and rounded if the bundle accepts only whole numbers."""
    found = quality["attacks"]["by"]
    corrects = any("corrected_accuracy" in entry for entry in found.values())
    head = ["attack", "fooled", "and not flagged", "flagged of the fooled", "ROC AUC", "median l2", "median l-inf"]
    rows = []
    for name, entry in found.items():
        for label, part in ((ATTACKS[name], entry), (f"{ATTACKS[name]}, rounded", entry.get("rounded"))):
            if part is not None:
                rows.append([label, *_attack(part), *_accuracies(part, corrects=corrects)])
    return table("Attacks", [*head, "accuracy", *(["corrected"] if corrects else [])], rows)


def _attack(part: dict[str, Any]) -> list[str]:
    flagged = ABSENT if part["flagged"] is None else share(part["flagged"])
    sizes = [number(part.get(norm), 3) for norm in ("l2", "linf")]
    return [share(part["fooled"]), share(part["evaded"]), flagged, number(part["roc_auc"], 3), *sizes]


def _accuracies(part: dict[str, Any], *, corrects: bool) -> list[str]:
    return [share(part[name]) for name in ("accuracy", "corrected_accuracy")[: 1 + corrects]]


def _flags_and_spreads(part: dict[str, Any], quality: Quality) -> list[str]:
    if "flagged" not in part:
        return [ABSENT] * (1 + len(score_names(quality)))
    spreads = [f"{part[name]['mean']:.3g} ± {part[name]['std']:.3g}" for name in score_names(quality)]
    return [share(part["flagged"]), *spreads]


def _rows_to_alarm(entry: dict[str, Any] | None, most_rows: int) -> str:
    if entry is None:
        return ABSENT
    return f"> {most_rows:,}" if entry["mean_rows"] >= most_rows else f"{entry['mean_rows']:,.0f}"


def _delay(entry: dict[str, Any] | None, streams: int) -> str:
    if entry is None:
        return ABSENT
    alarms = "" if entry["alarms"] == streams else f" ({entry['alarms']}/{streams})"
    return f"{entry['mean_rows']:,.0f}{alarms}"


def _p(entry: dict[str, float] | None, name: str) -> str:
    return ABSENT if entry is None else f"{entry[name]:.2g}"


def share(value: float) -> str:
    return f"{value:.1%}"


def number(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"
