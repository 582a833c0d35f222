"""The options of `harmgauge calibrate`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("bundle", type=Path, help="folder of the bundle, which is not changed")
    add(
        "--calibration",
        type=Path,
        required=True,
        help="rows like those of `build`, preferably with labels: at least 200 normal ones on which no network was "
        "trained; 5000 are good",
    )
    add(
        "--only",
        choices=("error_probability", "columns"),
        help="what to add or make again: the accuracy estimate, or the columns of GET /drift/columns, which need no "
        "labels and leave the graphs as they are; by default the estimate, and columns if the bundle has none",
    )
    add("--label", metavar="COLUMN", help="column or array of the data that holds the labels; by default y")
    add("--accuracy", type=float, help="the classifier's accuracy on such rows, such as 0.93, if they have no y")
    add("--out", type=Path, help="folder for bundles; by default the one that holds this bundle")
    add("--version", help="version of the new bundle; by default the next free number")
    add(
        "--seed",
        type=int,
        default=0,
        help="random seed for the disturbances and for ties in columns (default: %(default)s)",
    )
