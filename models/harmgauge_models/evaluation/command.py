"""The command line of `harmgauge evaluate`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from harmgauge_models.evaluation.attack_names import ATTACKS


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder; its report and manifest are rewritten")
    add("--data", type=Path, required=True, help="folder of CIFAR-10's .bin files, or .npz with 8-bit images x and y")
    add(
        "--work",
        type=Path,
        help="folder for intermediate results, of use to a run that goes on; below runs/ if left out",
    )
    add("--quick", action="store_true", help="a few pictures, kinds and batches: half a minute, rough figures")
    add("--attacks", type=_attacks, help=f"with commas between, of {', '.join(ATTACKS)}; or none. All if left out")
    add("--attack-rows", type=int, help="pictures that are attacked, 1000 if left out: seconds each")
    add("--seed", type=int, default=0, help="of corruptions, batches and streams")


def evaluate(arguments: argparse.Namespace) -> None:
    """Judge the bundle, and print the figures that matter most."""
    from harmgauge_models.evaluation.evaluate import PAGE_FILE, Options  # noqa: PLC0415 - loads all that it needs
    from harmgauge_models.evaluation.evaluate import evaluate as measure  # noqa: PLC0415

    options = Options(**{name.name: getattr(arguments, name.name) for name in fields(Options) if name.name != "say"})
    quality = measure(options)
    lines = [f"accuracy of the classifier, clean: {quality['clean']['accuracy']:.1%}"]
    for severity, level in quality["severity"].items():
        areas = ", ".join(
            f"{name} {'-' if area is None else format(area, '.3f')}" for name, area in level["roc_auc"].items()
        )
        lines.append(f"severity {severity}: accuracy {level['accuracy']:.1%}; ROC AUC, harmful to harmless: {areas}")
    for name, found in quality.get("attacks", {"by": {}})["by"].items():
        lines.append(f"{ATTACKS[name]}: fools {found['fooled']:.1%}, unseen {found['evaded']:.1%}")
    lines.append(f"made {arguments.bundle / PAGE_FILE}; open it in a browser")
    lines.append(f"next: HARMGAUGE_BUNDLE={arguments.bundle} harmgauge serve")
    sys.stdout.write("\n".join(lines) + "\n")


def _attacks(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(name.strip() for name in text.split(","))
    unknown = set(names) - set(ATTACKS)
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {min(unknown)!r}: there are {', '.join(ATTACKS)}, or none")
    return names
