"""The command line of `harmgauge evaluate`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from harmgauge_models.evaluation.attack_names import ATTACKS
from harmgauge_models.evaluation.span_names import SPANS

_MOST_PLACES = 8
"""Maximum number of places that a warning about entropy names; the report names all."""


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle; its report and manifest are rewritten")
    add(
        "--data",
        type=Path,
        required=True,
        help=".npz with rows or 8-bit pictures x, or an array for each input, and labels y; a table (.parquet, .csv); "
        "a folder of images, with a subfolder for each class; or a folder of CIFAR-10's .bin files",
    )
    add("--label", metavar="COLUMN", help="column or array of --data that holds the labels; by default y")
    add(
        "--work",
        type=Path,
        help="folder for intermediate results, which an interrupted run reuses; by default below runs/",
    )
    add("--quick", action="store_true", help="few rows, kinds and batches: half a minute, rough figures")
    add("--kinds", type=_names, help="comma-separated corruptions to make, or none; by default all")
    add(
        "--corrupted",
        type=Path,
        action="append",
        metavar="FILE.npz",
        help="corrupted rows of your own: arrays KIND or KIND-SEVERITY, row for row those of --data; may be repeated",
    )
    add("--time", metavar="NAME", help="array of --data with the time of each row: numbers, dates or names of periods")
    add(
        "--periods",
        help=f"number of periods, or {', '.join(SPANS)}; by default each value of --time if there are few, else 10",
    )
    add(
        "--attacks",
        type=_attacks,
        help=f"comma-separated, from {', '.join(ATTACKS)}, or none; by default all; pictures only",
    )
    add("--attack-rows", type=int, help="number of pictures to attack, each of which takes seconds; by default 1000")
    add("--seed", type=int, default=0, help="random seed for corruptions, batches and streams (default: %(default)s)")


def evaluate(arguments: argparse.Namespace) -> None:
    """Judge the bundle, and print the most important figures."""
    from harmgauge_models.evaluation.accuracy import texts  # noqa: PLC0415 - slow to load
    from harmgauge_models.evaluation.evaluate import PAGE_FILE, Options  # noqa: PLC0415 - slow to load
    from harmgauge_models.evaluation.evaluate import evaluate as measure  # noqa: PLC0415

    arguments.corrupted = tuple(arguments.corrupted or ())
    options = Options(**{name.name: getattr(arguments, name.name) for name in fields(Options) if name.name != "say"})
    quality = measure(options)
    lines = [f"accuracy of the classifier, clean: {quality['clean']['accuracy']:.1%}"]
    for severity, level in quality["severity"].items():
        areas = _areas(level["roc_auc"])
        lines.append(
            f"severity {severity}: accuracy {level['accuracy']:.1%}; ROC AUC, harmful against harmless: {areas}"
        )
    for name, found in quality.get("attacks", {"by": {}})["by"].items():
        lines.append(
            f"{ATTACKS[name]}: fools the classifier {found['fooled']:.1%}, without a flag {found['evaded']:.1%}"
        )
    if quality["left_out"]:
        lines.append(
            f"left out because the classifier returns no finite scores for them: {', '.join(quality['left_out'])}"
        )
    lines += _over_time(quality) + texts.lines(quality) + _warnings(quality)
    lines.append(f"wrote {arguments.bundle / PAGE_FILE}; open it in a browser")
    lines.append(f"next: HARMGAUGE_BUNDLE={arguments.bundle} harmgauge serve")
    sys.stdout.write("\n".join(lines) + "\n")


def _over_time(quality: dict[str, Any]) -> list[str]:
    if "periods" not in quality:
        return []
    tables, every = quality["periods"]["by_period"], quality["periods"]["wrong_right"]
    worst = min(tables, key=lambda name: float(tables[name]["accuracy"]))
    areas = _areas(every["roc_auc"])
    return [
        f"{len(tables)} periods: accuracy {tables[worst]['accuracy']:.1%} at worst ({worst}); ROC AUC, wrong against "
        f"right: {areas}"
    ]


def _warnings(quality: dict[str, Any]) -> list[str]:
    """One line for each kind on which entropy is better, with the severities, and one for all periods."""
    by_kind: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in quality["below_entropy"]:
        by_kind.setdefault((entry["kind"] if "period" not in entry else "over time", entry["between"]), []).append(
            entry
        )
    lines = []
    for (kind, between), entries in by_kind.items():
        worst = min(entries, key=lambda entry: float(entry["difference"]))
        places = [entry.get("period", entry["severity"]) for entry in entries]
        if len(places) > _MOST_PLACES:
            places[_MOST_PLACES:] = [f"and {len(places) - _MOST_PLACES} more"]
        areas = f"{worst['roc_auc']['score']:.3f} against {worst['roc_auc']['entropy']:.3f}"
        lines.append(
            f"warning: the score ranks worse than the classifier's entropy: {kind.replace('_', ' ')} ("
            f"{', '.join(places)}), "
            f"{between.replace('_', ' / ')}: {areas}" + (" at worst" if len(entries) > 1 else "")
        )
    return lines


def _areas(areas: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {'-' if area is None else format(area, '.3f')}" for name, area in areas.items())


def _names(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(name.strip() for name in text.split(",") if name.strip())


def _attacks(text: str) -> tuple[str, ...]:
    names = _names(text)
    unknown = set(names) - set(ATTACKS)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown attack {min(unknown)!r}; expected some of {', '.join(ATTACKS)}, or none"
        )
    return names
