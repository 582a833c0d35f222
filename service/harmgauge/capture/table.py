"""Flagged inputs as Parquet: the columns, and the conversion in both directions. docs/capture.md describes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from harmgauge.bundle.named_rows import AnyRows, join
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.flagged import Flagged
from harmgauge.capture.named_columns import NamedColumns

SCHEMA_VERSION = "1"

SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("route", pa.string(), nullable=False),
        pa.field("key_name", pa.string()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("bundle", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("threshold", pa.float32(), nullable=False),
        pa.field("error_probability", pa.float32()),
        pa.field("prediction", pa.int32(), nullable=False),
        pa.field("class_name", pa.string(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("shape", pa.list_(pa.int32()), nullable=False),
        pa.field("input", pa.binary(), nullable=False),
    ]
)

Kept = InputSpec | NamedColumns
"""How inputs are kept: as the bytes of one array, or as columns by name."""

ABOUT = SCHEMA.names[: SCHEMA.names.index("dtype")]
"""The columns about a row, which do not depend on its inputs."""

_REPEATED = ["route", "key_name", "model", "version", "bundle", "sha256", "class_name", "dtype"]
"""Columns with few values: each value is stored once per file."""

_INPUT = b"harmgauge.input"
_VERSION = b"harmgauge.schema_version"

_OF_REQUEST: dict[str, Callable[[Flagged], Any]] = {
    "time": lambda kept: round(kept.time * 1e6),
    "request_id": lambda kept: kept.origin.request_id,
    "route": lambda kept: kept.origin.route,
    "key_name": lambda kept: kept.origin.key_name or None,
    "model": lambda kept: kept.source.model,
    "version": lambda kept: kept.source.version,
    "bundle": lambda kept: kept.source.bundle,
    "sha256": lambda kept: kept.source.sha256,
    "threshold": lambda kept: kept.source.threshold,
}
"""Columns that are the same for all rows of a request."""


def schema_of(spec: Kept) -> pa.Schema:
    """The columns of a file."""
    return SCHEMA if isinstance(spec, InputSpec) else pa.schema([*map(SCHEMA.field, ABOUT), *spec.fields()])


def to_batch(kept: Sequence[Flagged], spec: Kept) -> pa.RecordBatch:
    """Convert the rows of some requests, at least one; their bundles must have these inputs and the same classes."""
    schema = schema_of(spec)
    counts = [len(each.positions) for each in kept]
    of_request = pa.array(np.repeat(np.arange(len(kept)), counts))
    columns = {
        name: pa.array([value(each) for each in kept], SCHEMA.field(name).type).take(of_request)
        for name, value in _OF_REQUEST.items()
    }
    predictions = np.concatenate([each.predictions for each in kept]).astype(np.int32)
    columns |= {
        "row": pa.array(np.concatenate([each.positions for each in kept]).astype(np.int32)),
        "score": pa.array(np.concatenate([each.scores for each in kept])),
        "error_probability": pa.concat_arrays([_error_probability(each) for each in kept]),
        "prediction": pa.array(predictions),
        "class_name": pa.array(kept[0].source.class_names, pa.string()).take(pa.array(predictions)),
    }
    columns |= _inputs(join([each.inputs for each in kept]), spec)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _inputs(rows: AnyRows, spec: Kept) -> dict[str, pa.Array]:
    if not isinstance(spec, InputSpec):
        return spec.arrays(rows)
    assert isinstance(rows, np.ndarray)
    return {
        "dtype": pa.repeat(spec.dtype, len(rows)),
        "shape": pa.repeat(pa.scalar(list(spec.shape), pa.list_(pa.int32())), len(rows)),
        "input": _as_bytes(rows, spec),
    }


def _error_probability(kept: Flagged) -> pa.Array:
    """One for each row; null if the bundle that scored it has none."""
    found = kept.error_probability
    return pa.nulls(len(kept.positions), pa.float32()) if found is None else pa.array(found)


def _as_bytes(rows: Rows, spec: InputSpec) -> pa.Array:
    """Each row's little-endian bytes in C order, without another copy if the machine is little-endian."""
    data = np.ascontiguousarray(rows, spec.numpy_dtype.newbyteorder("<"))
    ends = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(spec.row_bytes)
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(ends), pa.py_buffer(data)])


def to_parquet(batches: Sequence[pa.RecordBatch], spec: Kept) -> pa.Buffer:
    """A complete file, compressed with zstd; Arrow releases the GIL meanwhile."""
    known = {_VERSION: SCHEMA_VERSION.encode(), _INPUT: spec.model_dump_json(exclude_none=True).encode()}
    stream = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_batches(batches).replace_schema_metadata(known),
        stream,
        compression="zstd",
        use_dictionary=[name for name in _REPEATED if name in batches[0].schema.names],
        write_statistics=[*ABOUT, *(["dtype"] if isinstance(spec, InputSpec) else [])],
        store_schema=True,
    )
    return stream.getvalue()


def input_spec(schema: pa.Schema) -> Kept | None:
    """A file's description of its inputs; None if another program wrote the file."""
    text = (schema.metadata or {}).get(_INPUT)
    return None if text is None else read_spec(text)


def read_spec(text: bytes | str) -> Kept:
    """A description of inputs. Raises ValueError."""
    kinds: TypeAdapter[Kept] = TypeAdapter(InputSpec | NamedColumns)
    return kinds.validate_json(text)


def instance(data: bytes, spec: InputSpec) -> Rows:
    """Decode one input (*shape) from its bytes."""
    return np.frombuffer(data, spec.numpy_dtype.newbyteorder("<")).reshape(spec.shape)
