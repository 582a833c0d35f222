"""Labels as they are stored in files, converted to class indices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge_models.data import labels, npz_rows
from harmgauge_models.errors import UserError

WORDS = np.array(["cat", "dog", "cat", "eel"])


def rows(tmp_path: Path, y: np.ndarray[Any, Any]) -> npz_rows.Rows:
    np.savez(tmp_path / "rows.npz", x=np.zeros((len(y), 2), np.float32), y=y)
    return npz_rows.read(tmp_path / "rows.npz", "test", 1)


@pytest.mark.parametrize(
    ("y", "names", "expected"),
    [
        (WORDS, ("dog", "cat", "eel"), [1, 0, 1, 2]),
        (WORDS.astype("S"), ("cat", "dog", "eel"), [0, 1, 0, 2]),
        (np.array([True, False]), None, [1, 0]),
        (np.array([2.0, 0.0]), None, [2, 0]),
        (np.array([[2], [1]]), None, [2, 1]),
        (np.array([3, 1, 2]), ("1", "2", "3"), [2, 0, 1]),
        (np.array([0, 2]), ("1", "2", "3"), [0, 2]),
        (np.array([0, 2]), ("cat", "dog", "eel"), [0, 2]),
    ],
)
def test_labels_get_the_place_of_their_class(
    tmp_path: Path, y: np.ndarray[Any, Any], names: tuple[str, ...] | None, expected: list[int]
) -> None:
    found = labels.numbered(rows(tmp_path, y), names, 3)
    assert found.y is not None
    assert found.y.dtype == np.int64
    assert found.y.tolist() == expected


@pytest.mark.parametrize(
    ("y", "names", "message"),
    [
        (np.array([0, 3]), None, "y has values from 0 to 3; expected 0 to 2"),
        (np.array([1, 3]), None, "save y - 1"),
        (np.array([-1, 1]), None, "y has values from -1 to 1"),
        (WORDS, ("cat", "dog", "cow"), "'eel'.*is not a class.*--class-names"),
        (WORDS[:3], None, "y names 2 classes .*the classifier has 3: set --class-names"),
    ],
)
def test_labels_that_are_no_class_are_refused(
    tmp_path: Path, y: np.ndarray[Any, Any], names: tuple[str, ...] | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        labels.numbered(rows(tmp_path, y), names, 3)


def test_the_order_of_classes_is_as_given_else_the_classifiers_own_else_sorted(tmp_path: Path) -> None:
    named = [rows(tmp_path, WORDS)]
    assert labels.class_names(("b", "a", "c"), ("x", "y", "z"), named, 3) == ("b", "a", "c")
    assert labels.class_names((), ("x", "y", "z"), named, 3) == ("x", "y", "z")
    assert labels.class_names((), None, named, 3) == ("cat", "dog", "eel")
    assert labels.class_names((), None, named, 4) is None


@pytest.mark.parametrize("y", [np.array([0.5, 1]), np.array([np.nan, 1]), np.zeros((2, 2), int)])
def test_what_is_no_label_is_refused(tmp_path: Path, y: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UserError, match="one class for each of the 2 rows"):
        rows(tmp_path, y)


def test_arrays_of_python_objects_come_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pickled.*y\.astype\(str\)"):
        rows(tmp_path, WORDS.astype(object))
