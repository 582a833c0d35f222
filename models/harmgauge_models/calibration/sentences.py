"""Sentences about P(wrong), for the terminal of `build` and `calibrate`."""

from __future__ import annotations

from harmgauge.bundle.inputs import ErrorProbability


def sentence(chance: ErrorProbability | str) -> str:
    """One line for the terminal: the gauge, or why there is none."""
    if isinstance(chance, str):
        return f"no estimate of accuracy: {chance}"
    copies = "copy" if chance.copies == 1 else "copies"
    by = "labels" if chance.target == "wrong" else "the accuracy stated"
    return (
        f"estimate of accuracy: {1 - chance.base:.1%} on clean rows; of a drop it misses {chance.kappa:.0%} (root mean "
        f"square); fitted by {by} on {chance.rows} rows and {chance.copies} disturbed {copies} of each"
    )
