"""Reads captured files: lists them, and selects rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.named_columns import PREFIX, as_json
from harmgauge.capture.sinks import SUFFIX, name_time, open_address
from harmgauge.capture.table import SCHEMA, input_spec
from harmgauge.errors import SettingsError

SPEC = "input_spec"
FILE = "file"
"""Columns added to those of the file: its description of its inputs, as JSON, and its address."""

ABOUT = [name for name in SCHEMA.names if name not in ("input", "error_probability")]
"""Columns of every file: `error_probability` was added later."""


@dataclass(frozen=True)
class Wanted:
    """Conditions on a row; None allows everything. Times have a time zone; `until` and `max_score` are exclusive."""

    since: datetime | None = None
    until: datetime | None = None
    class_name: str | None = None
    min_score: float | None = None
    max_score: float | None = None
    request_id: str | None = None

    def expression(self) -> pc.Expression | None:
        """The conditions as an Arrow filter."""
        found: pc.Expression | None = None
        for condition in self._conditions():
            found = condition if found is None else found & condition
        return found

    def _conditions(self) -> Iterator[pc.Expression]:
        if self.since is not None:
            yield pc.field("time") >= pa.scalar(self.since, SCHEMA.field("time").type)
        if self.until is not None:
            yield pc.field("time") < pa.scalar(self.until, SCHEMA.field("time").type)
        if self.class_name is not None:
            yield pc.field("class_name") == self.class_name
        if self.min_score is not None:
            yield pc.field("score") >= pa.scalar(self.min_score, pa.float32())
        if self.max_score is not None:
            yield pc.field("score") < pa.scalar(self.max_score, pa.float32())
        if self.request_id is not None:
            yield pc.field("request_id") == self.request_id


class Captured:
    """The files at an address, oldest first. Raises SettingsError if there is no such folder."""

    def __init__(self, address: str) -> None:
        try:
            self._filesystem, path = open_address(address)
            found = self._filesystem.get_file_info(fs.FileSelector(path))
        except (OSError, ValueError) as error:  # Arrow's own errors are ValueErrors
            raise SettingsError(f"{address} cannot be read: {error}") from error
        named = [(file.base_name, file.path) for file in found if file.base_name.endswith(SUFFIX)]
        self.files = [path for name, path in sorted(named) if name_time(name) is not None]

    def tables(self, wanted: Wanted, columns: list[str], skipped: Callable[[str, str], None]) -> Iterator[pa.Table]:
        """Yield the matching rows of each file, with these columns, SPEC and FILE; empty if it has none.

        Calls `skipped` with the reason for a file that cannot be read. A file that was deleted in the meantime has no
        rows.
        """
        for path in self.files:
            try:
                yield self._table(path, wanted, columns)
            except FileNotFoundError:
                yield _empty(columns)
            except (OSError, ValueError) as error:
                skipped(path, str(error))
                yield _empty(columns)

    def _table(self, path: str, wanted: Wanted, columns: list[str]) -> pa.Table:
        # Files whose names have a later time cannot contain earlier rows: they need not be opened.
        began = name_time(path.rpartition("/")[2])
        if began is not None and wanted.until is not None and datetime.fromtimestamp(began, UTC) >= wanted.until:
            return _empty(columns)
        with self._filesystem.open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            spec = input_spec(file.schema_arrow)
            if spec is None:
                raise ValueError("it was not written by harmgauge")
            named = [] if isinstance(spec, InputSpec) else [n for n in file.schema_arrow.names if n.startswith(PREFIX)]
            asked = [name for name in columns if name in file.schema_arrow.names]
            if "input" in columns:
                asked += named
            table = pq.read_table(stream, columns=asked, filters=wanted.expression(), use_threads=False)
        if not isinstance(spec, InputSpec):
            table = _like_arrays(table, columns)
        table = table.select(columns).replace_schema_metadata(None)
        for name, value in ((SPEC, spec.model_dump_json(exclude_none=True)), (FILE, path)):
            table = table.append_column(name, pa.repeat(value, table.num_rows))
        return table


def _like_arrays(table: pa.Table, columns: list[str]) -> pa.Table:
    """A table with inputs by name in the schema of one with arrays: `input` is JSON, `shape` is empty."""
    rows = table.num_rows
    others = {
        "dtype": lambda: pa.repeat("json", rows),
        "shape": lambda: pa.array([[]] * rows, SCHEMA.field("shape").type),
        "input": lambda: pa.array([as_json(row) for row in table.to_pylist()], pa.binary()),
    }
    for name in columns:
        if name in others and name not in table.column_names:
            table = table.append_column(SCHEMA.field(name), others[name]())
    return table


def _empty(columns: list[str]) -> pa.Table:
    beside = ((name, pa.string()) for name in (SPEC, FILE))
    return pa.schema([*(SCHEMA.field(name) for name in columns), *beside]).empty_table()


def moment(text: str, now: datetime) -> datetime:
    """Parse `2026-11-21`, `2026-11-21T08:30` (UTC by default), or a time ago: `90m`, `24h`, `7d`.

    Raises ValueError.
    """
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    unit_seconds = {"m": 60, "h": 3600, "d": 86_400}.get(text[-1:])
    if unit_seconds is None:
        raise ValueError(f"{text!r} is not a time: expected 2026-11-21, 2026-11-21T08:30, or 90m, 24h, 7d ago")
    return datetime.fromtimestamp(now.timestamp() - float(text[:-1]) * unit_seconds, UTC)
