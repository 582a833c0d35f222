"""Bodies in `.npz` and Parquet for bundles with inputs by name, compared with NumPy's and Arrow's own readers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harmgauge.api.body.media import NPZ, PARQUET
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.steps import finish
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.errors import RequestError
from tests.fuzz.expected_named import NAMED, record_rows, row_of, same_rows
from tests.fuzz.mutate import below_head, bytewise
from tests.fuzz.mutate_parquet import parquetwise
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets.records import seed_records

MAX_ROWS = 20
MAX_BYTES = 2**20

_TOKENS = [
    b"PAR1",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"\x15\x04",
    b"\x00",
    b"\xff\xff\xff\x7f",
    b"age",
    b"<U9",
]


def check_with(media_type: str, load: Callable[[bytes, NamedInputs], Any]) -> Callable[[bytes], str]:
    def check(case: bytes) -> str:
        head, _, body = case.partition(b"\n")
        inputs = NAMED.get(head.decode("latin-1"), NAMED["table"])
        found = attempt(lambda: _read(body, media_type, inputs))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = load(body, inputs)
        except Exception:
            expected = None
        if isinstance(found, RequestError):
            assert expected is None or found.code != "invalid_instances", f"refused ({found.detail}), but it is good"
            return found.code
        assert expected is not None, "taken, but it is not good"
        assert same_rows(found, expected, inputs), "the rows differ"
        return "taken"

    return check


def _read(body: bytes, media_type: str, inputs: NamedInputs) -> NamedRows:
    opened = finish(NamedReader(inputs).opening(body, media_type, MAX_ROWS, MAX_BYTES))
    rows, _ = finish(opened.steps())
    assert isinstance(rows, NamedRows)
    return rows


def _load_npz(body: bytes, inputs: NamedInputs) -> Any:
    with ZipFile(io.BytesIO(body)) as archive:
        names = archive.namelist()
        arrays = {
            name.removesuffix(".npy"): np.lib.format.read_array(archive.open(name), allow_pickle=False)
            for name in names
        }
    if len(arrays) < len(names):
        return None
    if any(array.dtype.kind not in "iufU" or not array.ndim for array in arrays.values()):
        return None
    return _rows({name: array.tolist() for name, array in arrays.items()}, inputs)


def _load_parquet(body: bytes, inputs: NamedInputs) -> Any:
    table = pq.ParquetFile(io.BytesIO(body)).read()  # `read_table` refuses more, as a data set
    table.validate(full=True)
    if len(set(table.column_names)) < table.num_columns:
        return None
    for kind in table.schema.types:
        inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_dictionary(kind) else kind
        is_number = pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_decimal(inner)
        if not (is_number or pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_null(inner)):
            return None
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return _rows({name: [_number(value) for value in column] for name, column in columns.items()}, inputs)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _rows(columns: dict[str, list[Any]], inputs: NamedInputs) -> Any:
    """Rows of columns by name of an input or a column."""
    counts = {len(column) for column in columns.values()}
    if len(counts) != 1 or not 0 < (count := counts.pop()) <= MAX_ROWS:
        return None
    records: list[dict[str, Any]] = []
    for at in range(count):
        values: dict[str, Any] = {}
        for found in inputs.inputs:
            names = [column.name for column in found.columns or ()]
            if found.name in columns:
                own = columns[found.name][at]
                values[found.name] = [own] if found.shape == (1,) and not isinstance(own, list) else own
            elif names and all(name in columns for name in names):
                values[found.name] = [columns[name][at] for name in names]
            else:
                return None
        records.append(values)
    known = {*inputs.names, *(column.name for found in inputs.inputs for column in found.columns or ())}
    if not columns.keys() <= known:
        return None
    rows = [row_of(values, inputs) for values in records]
    return None if None in rows else rows


def _npz_seeds() -> list[bytes]:
    made = []
    for name, items in seed_records().items():
        inputs, rows = NAMED[name], record_rows([item for item in items if isinstance(item, dict)], NAMED[name])
        assert rows is not None
        is_ragged = any(None in found.shape for found in inputs.inputs)
        for own in (rows[:1], *([] if is_ragged else [rows])):
            arrays = {
                found.name: np.array(
                    [row[found.name] for row in own], np.str_ if found.dtype == "string" else found.dtype
                )
                for found in inputs.inputs
            }
            for save in (np.savez, np.savez_compressed):
                stream = io.BytesIO()
                save(stream, allow_pickle=False, **arrays)
                made.append(name.encode() + b"\n" + stream.getvalue())
    return made


def _parquet_seeds() -> list[bytes]:
    made = []
    for name in ("table", "refusing", "tokens", "strings", "columns"):
        table = pa.Table.from_pylist([item for item in seed_records()[name] if isinstance(item, dict)])
        options: list[dict[str, Any]] = [
            {}, {"compression": "none"}, {"compression": "zstd", "use_dictionary": False},
            {"data_page_version": "2.0", "write_page_checksum": True}, {"row_group_size": 1, "compression": "gzip"},
            {"compression": "none", "use_dictionary": False, "column_encoding": _encodings(table)},
        ]  # fmt: skip
        made += [name.encode() + b"\n" + _written(table, **option) for option in options]
    return made


def _encodings(table: pa.Table) -> dict[str, str]:
    """An encoding other than the defaults for each column, by its path in the file."""
    physical = {"INT64": "DELTA_BINARY_PACKED", "BYTE_ARRAY": "DELTA_LENGTH_BYTE_ARRAY", "DOUBLE": "BYTE_STREAM_SPLIT"}
    schema = pq.ParquetFile(io.BytesIO(_written(table))).schema
    return {column.path: physical.get(column.physical_type, "PLAIN") for column in schema}


def _written(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


NPZ_TARGET = Target("npz", check_with(NPZ, _load_npz), _npz_seeds(), below_head(bytewise(_TOKENS)))
PARQUET_TARGET = Target(
    "parquet", check_with(PARQUET, _load_parquet), _parquet_seeds(), below_head(parquetwise(_TOKENS))
)
