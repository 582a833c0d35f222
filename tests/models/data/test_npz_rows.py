"""Rows from `.npz` files, Parquet and CSV: arrays by name, labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from harmgauge_models.data.npz_rows import read
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records

COLUMNS = {"age": [39.0, None, 51.0], "city": ["Bern", "Athens", "Bern"], "income": ["low", "high", "low"]}


def _parquet(path: Path, columns: dict[str, object] = COLUMNS) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_columns_become_fields_and_labels(tmp_path: Path) -> None:
    rows = read(_parquet(tmp_path / "t.parquet"), "training", 2, "income")
    assert records.fields(rows.x) == ("age", "city")
    np.testing.assert_array_equal(rows.x["age"], [39, np.nan, 51])
    assert rows.x["city"].tolist() == ["Bern", "Athens", "Bern"]
    assert rows.names is not None
    assert rows.names.tolist() == ["low", "high", "low"]
    assert rows.missing


def test_csv_has_the_same_rows_as_strings(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('age,city,y\n39,"Bern, old town",1\n,Athens,0\n', encoding="utf-8")
    rows = read(path, "training", 2)
    assert rows.x["age"].tolist() == ["39", ""]
    assert rows.x["city"].tolist() == ["Bern, old town", "Athens"]
    assert rows.y is not None
    assert rows.y.tolist() == [1, 0]


def test_lists_of_a_table_are_padded(tmp_path: Path) -> None:
    columns: dict[str, object] = {"input_ids": [[1, 5, 2], [1, 2]], "attention_mask": [[1, 1, 1], [1, 1]]}
    rows = read(_parquet(tmp_path / "t.parquet", columns), "training", 2)
    assert rows.x["input_ids"].tolist() == [[1, 5, 2], [1, 2, 0]]
    assert rows.x["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_dictionaries_and_decimals(tmp_path: Path) -> None:
    table = pa.table(
        {"city": pa.array(["a", "b", "a"]).dictionary_encode(), "price": pa.array([1, 2, 3], pa.decimal128(5, 2))}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    rows = read(tmp_path / "t.parquet", "training", 2)
    assert rows.x["city"].tolist() == ["a", "b", "a"]
    assert rows.x["price"].tolist() == [1.0, 2.0, 3.0]


def test_named_arrays_of_an_npz_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", city=np.array(["a", "b"]), size=np.zeros((2, 3)), y=np.array([0, 1]))
    rows = read(tmp_path / "r.npz", "training", 2)
    assert records.fields(rows.x) == ("city", "size")
    assert rows.x["size"].shape == (2, 3)


def test_texts_in_x(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=np.array(["free entry", "see you"]))
    rows = read(tmp_path / "r.npz", "training", 2)
    assert rows.x.tolist() == [["free entry"], ["see you"]]


def test_x_is_one_of_several_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=np.zeros((2, 3)), z=np.ones((2, 1)))
    assert read(tmp_path / "r.npz", "training", 2).x.shape == (2, 3)
    assert records.fields(read(tmp_path / "r.npz", "training", 2, None, ("x", "z")).x) == ("x", "z")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n", "two columns called 'a'"),
        ("a,b\n1,2\n3\n", r"line 3: expected 2 values, as in the first line, got 1"),
        ("", "has no columns"),
        ("a,b\n1,2\n", "holds 1 training rows; expected at least 2"),
    ],
)
def test_csv_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read(path, "training", 2)


def test_a_label_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--label wage: .* has no such column; it has age, city, income"):
        read(_parquet(tmp_path / "t.parquet"), "training", 2, "wage")


def test_arrays_of_different_lengths(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", a=np.zeros((2, 3)), b=np.ones((3, 1)))
    with pytest.raises(UserError, match="one entry for each row"):
        read(tmp_path / "r.npz", "training", 2)


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read(tmp_path / "t.parquet", "training", 2)
