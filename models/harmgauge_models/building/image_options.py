"""The options of `build` that describe how images become rows. Loads nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from fractions import Fraction
from typing import Any


def add_images(add: Callable[..., Any]) -> None:
    """Add the options."""
    add("--scale", type=_number, help="factor from pixels (0..255) to numbers; 1/255 if --mean or --std is given")
    add(
        "--mean", type=_numbers, metavar="R,G,B", help="mean that the classifier expects to be subtracted after --scale"
    )
    add("--std", type=_numbers, metavar="R,G,B", help="standard deviation that it expects to be divided by after that")
    add("--resize", type=int, metavar="PIXELS", help="resize the shorter side of every image to this, as in training")
    add(
        "--resize-filter",
        choices=("bilinear", "bicubic"),
        help="filter for --resize, antialiased as in torchvision and Pillow; by default bilinear",
    )
    add(
        "--crop",
        type=_size,
        metavar="PIXELS",
        help="crop the middle of every image, in pixels or WIDTHxHEIGHT; by default to the classifier's size after "
        "--resize",
    )


def _number(text: str) -> float:
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError) as error:
        raise argparse.ArgumentTypeError(f"expected a number such as 0.5 or 1/255, got {text!r}") from error


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(part) for part in text.split(","))


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"expected pixels such as 224 or 224x160, got {text!r}")
    return int(sides[0]), int(sides[-1])
