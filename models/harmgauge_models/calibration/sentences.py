"""Sentences about P(wrong) and columns, for the terminal of `build` and `calibrate`."""

from __future__ import annotations

from collections.abc import Sequence

from harmgauge.bundle.inputs import ErrorProbability

SHOWN = 5


def sentence(chance: ErrorProbability | str) -> str:
    """One line for the terminal: the fit, or why there is none."""
    if isinstance(chance, str):
        return f"no estimate of accuracy: {chance}"
    copies = "copy" if chance.copies == 1 else "copies"
    by = "the labels" if chance.target == "wrong" else "the stated accuracy"
    return (
        f"estimate of accuracy: {1 - chance.base:.1%} on clean rows; its typical error is {chance.kappa:.0%} of a "
        f"drop; fitted to {by} of {chance.rows} rows and {chance.copies} disturbed {copies} of each"
    )


def columns_sentence(names: Sequence[str]) -> str:
    """One line for the terminal: the columns that the service will compare, apart from the predicted class."""
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    listed = [*names[:SHOWN], *more]
    return f"columns: {', '.join(listed)}{' and ' if listed else ''}the predicted class"
