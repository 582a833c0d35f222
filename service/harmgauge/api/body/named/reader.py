"""Reads a body for a bundle with inputs by name, or with one input that has columns, in any of its formats."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from harmgauge.api.body.json_frame import MAX_FRAME_BYTES
from harmgauge.api.body.media import JSON, NPZ, PARQUET
from harmgauge.api.body.named.arrays import read_npz_rows
from harmgauge.api.body.named.plan import plan_of
from harmgauge.api.body.named.records import read_records
from harmgauge.api.body.named.tokens import TextReader
from harmgauge.api.body.steps import Steps, one_step
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.bundle.npz import unpacked_bytes
from harmgauge.errors import TooLarge, UnknownCategory, UnknownMediaType, Unreadable

if TYPE_CHECKING:
    from harmgauge.api.body.named.parquet import ParquetBody

LOOP_BYTES = 16 * 2**10
"""JSON up to this size is read on the event loop: in a millisecond."""

LOOP_TEXT_BYTES = 2 * 2**10
"""The same for texts, which a tokenizer reads."""

_MULTIPLE = 8
"""Memory that reading JSON may take, in multiples of the body: a Parquet file that takes more counts as a larger body.
"""

T = TypeVar("T")

_RECORDS = re.compile(rb'"instances"[ \t\r\n]*+:[ \t\r\n]*+\[[ \t\r\n]*+\{')


class Opened(NamedTuple):
    """A body before it is decoded: `extra_bytes` are to be held besides its own, `steps` decode it."""

    extra_bytes: int
    steps: Callable[[], Steps[tuple[AnyRows, dict[str, Any]]]]


class NamedReader:
    """`texts` reads texts, if the bundle has a tokenizer. `refused` counts a refused category, by column.

    With `as_array`, the only input is an array of numbers with columns, and rows are that array.
    """

    def __init__(
        self,
        inputs: NamedInputs,
        texts: TextReader | None = None,
        *,
        as_array: bool = False,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.plan = plan_of(inputs)
        self.texts = texts
        self._as_array = as_array
        self._refused = refused

    def takes(self, body: bytes | bytearray, media_type: str) -> bool:
        """Whether this reads the body, rather than the readers of arrays."""
        if not self._as_array or media_type in (NPZ, PARQUET):
            return True
        return media_type == JSON and _RECORDS.search(body, 0, MAX_FRAME_BYTES) is not None

    def is_large(self, body_bytes: int, media_type: str) -> bool:
        """Whether reading this body may take a millisecond."""
        return media_type != JSON or body_bytes > (LOOP_BYTES if self.texts is None else LOOP_TEXT_BYTES)

    def opening(self, body: bytes | bytearray, media_type: str, max_rows: int, max_bytes: int) -> Steps[Opened]:
        """Measure a body, in steps. Raises UnknownMediaType, Unreadable, TooLarge or Unprocessable."""
        if not body:
            raise Unreadable("The body is empty.")
        if media_type == JSON:
            yield from ()
            return Opened(0, lambda: self.counted(self._records(body, max_rows)))
        if media_type == NPZ:
            yield
            try:
                unpacked = unpacked_bytes(io.BytesIO(body))
            except ValueError as error:
                raise Unreadable(f"The body is not a valid .npz file: {error}.") from None
            if unpacked > max_bytes:
                raise TooLarge(
                    f"The arrays have {unpacked} bytes uncompressed; expected at most {max_bytes}: split them."
                )
            return Opened(unpacked - len(body), lambda: self.counted(self._npz(body, max_rows, max_bytes)))
        if media_type != PARQUET:
            raise UnknownMediaType(f"Content-Type {media_type!r} is not supported by this bundle.")
        try:
            from harmgauge.api.body.named.parquet import open_parquet  # noqa: PLC0415 - an extra
        except ImportError:
            raise UnknownMediaType(
                "Parquet requires Arrow in the service: pip install 'harmgauge[parquet]'; or send JSON."
            ) from None
        opened = yield from one_step(open_parquet, body, self.plan, max_rows, texts=self.texts is not None)
        extra_bytes = opened.memory_bytes // _MULTIPLE - len(body)
        return Opened(extra_bytes, lambda: self.counted(self._parquet(opened, max_rows)))

    def counted(self, steps: Steps[T]) -> Steps[T]:
        """The same steps; counts a category that they refuse."""
        try:
            return (yield from steps)
        except UnknownCategory as error:
            self._refused(error.column)
            raise

    def _records(self, body: bytes | bytearray, max_rows: int) -> Steps[tuple[AnyRows, dict[str, Any]]]:
        rows, parameters = yield from read_records(body, self.plan, self.texts, max_rows)
        return self._rows(rows), parameters

    def _npz(self, body: bytes | bytearray, max_rows: int, max_bytes: int) -> Steps[tuple[AnyRows, dict[str, Any]]]:
        rows = yield from one_step(read_npz_rows, body, self.plan, max_rows, max_bytes)
        return self._rows(rows), {}

    def _parquet(self, opened: ParquetBody, max_rows: int) -> Steps[tuple[AnyRows, dict[str, Any]]]:
        from harmgauge.api.body.named.parquet import read_parquet, read_texts  # noqa: PLC0415 - an extra

        if self.texts is not None and opened.is_text:
            texts = yield from one_step(read_texts, opened)
            rows = yield from self.texts.read(texts)
        else:
            rows = yield from one_step(read_parquet, opened, self.plan, max_rows)
        return self._rows(rows), {}

    def _rows(self, rows: NamedRows) -> AnyRows:
        return next(iter(rows.fixed.values())) if self._as_array else rows
