"""Labels converted to class indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.labels import classes

FILE = Path("rows.npz")


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (np.array(["no", "yes", "no"]), ("no", "yes")),
        (np.array([b"no", b"yes", b"no"]), ("no", "yes")),
        (np.array([0, 1, 0], np.uint8), ("no", "yes")),
        (np.array([[0.0], [1.0], [0.0]]), ("no", "yes")),
        (np.array([False, True, False]), ("no", "yes")),
        (np.array([3, 8, 3]), ("3", "8")),
        (np.array([1, 2, 1]), ("1", "2", "0")),
    ],
)
def test_names_and_places_give_the_same_classes(y: np.ndarray, names: tuple[str, ...]) -> None:
    assert classes(y, names, 3, FILE).tolist() == [0, 1, 0]


def test_what_names_no_class_is_refused() -> None:
    for y, text in (
        (np.array(["no", "maybe", "no"]), "names the class 'maybe'"),
        (np.array([0, 1, 2]), "labels from 0 to 2; the bundle has the classes 0 to 1"),
        (np.array([0, -1, 0]), "labels from -1 to 0"),
        (np.array([0.5, 1, 0]), "whole numbers or names of classes"),
        (np.array([np.nan, 1, 0]), "whole numbers or names of classes"),
        (np.zeros((3, 2)), "one label for each of the 3 rows"),
    ):
        with pytest.raises(UserError, match=text):
            classes(y, ("no", "yes"), 3, FILE)
