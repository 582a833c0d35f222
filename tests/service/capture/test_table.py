"""Rows to Parquet and back, for every dtype that a bundle may have."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.part import Dtype
from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.flagged import Flagged
from harmgauge.capture.table import SCHEMA, input_spec, instance, to_batch, to_parquet
from harmgauge.inference.caller import Origin
from tests.support.captured_rows import SOURCE

EPOCH = datetime.fromtimestamp(0, UTC)

texts = st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def captured(draw: st.DrawFn) -> tuple[InputSpec, list[Flagged]]:
    """Requests with arbitrary inputs, ids and scores."""
    spec = InputSpec(dtype=draw(st.sampled_from(get_args(Dtype))), shape=draw(st_numpy.array_shapes(max_dims=3)))
    kept = []
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 5))
        positions = np.array(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1))))
        is_all = draw(st.booleans())
        rows = draw(st_numpy.arrays(spec.numpy_dtype, (count if is_all else len(positions), *spec.shape)))
        kept.append(
            Flagged(
                source=SOURCE,
                origin=Origin(draw(texts), draw(texts), draw(texts)),
                time=draw(st.integers(0, 2**52)) / 1e6,
                positions=positions,
                scores=draw(st_numpy.arrays(np.float32, len(positions), elements=st.floats(width=32, allow_nan=False))),
                predictions=draw(st_numpy.arrays(np.int64, len(positions), elements=st.integers(0, 1))),
                rows=rows,
                is_all=is_all,
                error_probability=draw(
                    st.none() | st_numpy.arrays(np.float32, len(positions), elements=st.floats(0, 1, width=32))
                ),
            )
        )
    return spec, kept


@settings(deadline=None, max_examples=50)
@given(captured())
def test_rows_come_back_as_they_were(given: tuple[InputSpec, list[Flagged]]) -> None:
    spec, kept = given
    halves = [kept[:1], kept[1:]] if len(kept) > 1 else [kept]
    data = to_parquet([to_batch(half, spec) for half in halves], spec)
    table = pq.read_table(pa.BufferReader(data))
    assert table.schema.remove_metadata().equals(SCHEMA)
    found_spec = input_spec(table.schema)
    assert found_spec == spec
    rows = iter(table.to_pylist())
    for each in kept:
        for number, position in enumerate(each.positions):
            row = next(rows)
            assert row["time"] == EPOCH + timedelta(microseconds=round(each.time * 1e6))
            assert (row["request_id"], row["route"], row["key_name"] or "") == each.origin
            assert row["row"] == position
            assert np.float32(row["score"]) == each.scores[number]
            chances = each.error_probability
            assert row["error_probability"] == (None if chances is None else chances[number])
            assert row["prediction"] == each.predictions[number]
            assert row["class_name"] == SOURCE.class_names[row["prediction"]]
            assert [row[name] for name in ("model", "version", "bundle", "sha256", "threshold")] == list(SOURCE[:5])
            assert (row["dtype"], tuple(row["shape"])) == (spec.dtype, spec.shape)
            values = instance(row["input"], spec)
            assert values.tobytes() == np.asarray(each.inputs)[number].tobytes()
    assert next(rows, None) is None


def test_time_is_utc_and_bytes_are_little_endian() -> None:
    spec = InputSpec(dtype="uint16", shape=(1,))
    one = np.zeros(1, np.int64)
    moment = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    kept = Flagged(
        SOURCE, Origin(), moment.timestamp(), one, one.astype(np.float32), one, np.array([[258]], "<u2"), is_all=True
    )
    row = to_batch([kept], spec).to_pylist()[0]
    assert row["time"] == moment
    assert row["input"] == b"\x02\x01"
    assert row["key_name"] is None


def test_how_pictures_are_laid_out_is_in_the_file() -> None:
    spec = InputSpec(dtype="uint8", shape=(2, 2, 3), image=ImageSpec(mode="RGB", layout="HWC", scale=1))
    one = np.zeros(1, np.int64)
    kept = Flagged(
        SOURCE, Origin(), 0.0, one, one.astype(np.float32), one, np.zeros((1, 2, 2, 3), np.uint8), is_all=True
    )
    data = to_parquet([to_batch([kept], spec)], spec)
    assert input_spec(pq.read_schema(io.BytesIO(data.to_pybytes()))) == spec
