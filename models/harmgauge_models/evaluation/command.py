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
"""Most places that a warning of better entropy names; the report names all."""


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder; its report and manifest are rewritten")
    add(
        "--data",
        type=Path,
        required=True,
        help=".npz with rows or 8-bit pictures x and labels y; or a folder of CIFAR-10's .bin files",
    )
    add(
        "--work",
        type=Path,
        help="folder for intermediate results, of use to a run that goes on; below runs/ if left out",
    )
    add("--quick", action="store_true", help="a few rows, kinds and batches: half a minute, rough figures")
    add("--kinds", type=_names, help="corruptions to make, with commas between; or none. All if left out")
    add(
        "--corrupted",
        type=Path,
        action="append",
        metavar="FILE.npz",
        help="corrupted rows of your own: arrays KIND or KIND-SEVERITY, row by row those of --data; may be repeated",
    )
    add("--time", metavar="NAME", help="array of --data that says when each row came: numbers, dates or periods' names")
    add("--periods", help=f"how many, or {', '.join(SPANS)}; each value of --time if they are few, or else 10")
    add(
        "--attacks",
        type=_attacks,
        help=f"with commas between, of {', '.join(ATTACKS)}; or none. All if left out; of pictures only",
    )
    add("--attack-rows", type=int, help="pictures that are attacked, 1000 if left out: seconds each")
    add("--seed", type=int, default=0, help="of corruptions, batches and streams")


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
        lines.append(f"severity {severity}: accuracy {level['accuracy']:.1%}; ROC AUC, harmful to harmless: {areas}")
    for name, found in quality.get("attacks", {"by": {}})["by"].items():
        lines.append(f"{ATTACKS[name]}: fools {found['fooled']:.1%}, unseen {found['evaded']:.1%}")
    if quality["left_out"]:
        lines.append(f"left out, since the classifier gives no numbers for them: {', '.join(quality['left_out'])}")
    lines += _over_time(quality) + texts.lines(quality) + _warnings(quality)
    lines.append(f"made {arguments.bundle / PAGE_FILE}; open it in a browser")
    lines.append(f"next: HARMGAUGE_BUNDLE={arguments.bundle} harmgauge serve")
    sys.stdout.write("\n".join(lines) + "\n")


def _over_time(quality: dict[str, Any]) -> list[str]:
    if "periods" not in quality:
        return []
    tables, every = quality["periods"]["by_period"], quality["periods"]["wrong_right"]
    worst = min(tables, key=lambda name: float(tables[name]["accuracy"]))
    areas = _areas(every["roc_auc"])
    return [
        f"{len(tables)} periods: accuracy {tables[worst]['accuracy']:.1%} at worst ({worst}); ROC AUC, wrong to right: "
        f"{areas}"
    ]


def _warnings(quality: dict[str, Any]) -> list[str]:
    """One line for each kind at which entropy is better, with the severities, and one for all periods."""
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
        areas = f"{worst['roc_auc']['score']:.3f} to {worst['roc_auc']['entropy']:.3f}"
        lines.append(
            f"warning: the score is below the classifier's entropy: {kind.replace('_', ' ')} ({', '.join(places)}), "
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
        raise argparse.ArgumentTypeError(f"there is no {min(unknown)!r}: there are {', '.join(ATTACKS)}, or none")
    return names
