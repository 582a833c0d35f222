"""`harmgauge captured`: lists captured inputs, or draws them on a contact sheet."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from harmgauge.capture.reading import ABOUT, FILE, Captured, Wanted
from harmgauge.capture.sheet import sheet

LISTED_ROWS = 20
DRAWN_ROWS = 200
DAYS = 5
"""Number of days, the newest ones, with their own column in the table."""


@dataclass
class _Found:
    """Summary of the matching rows: counts by class and day, their files, and the `most` first ones by `order`."""

    order: list[tuple[str, str]]
    most: int
    counts: Counter[tuple[str, str]]
    files: set[str] = field(default_factory=set)
    kept: pa.Table | None = None

    def add(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        names, times = table.column("class_name").to_pylist(), table.column("time").to_pylist()
        self.counts.update((name, f"{time:%Y-%m-%d}") for name, time in zip(names, times, strict=True))
        self.files.update(table.column(FILE).unique().to_pylist())
        joined = table if self.kept is None else pa.concat_tables([self.kept, table])
        self.kept = joined.sort_by(self.order).slice(0, self.most).combine_chunks()

    def rows(self) -> list[dict[str, Any]]:
        return [] if self.kept is None else self.kept.to_pylist()


def captured(address: str, wanted: Wanted, *, rows: int | None, html: Path | None) -> int:
    """List the newest rows, or draw those with the highest scores; 0 if any matched. Raises SettingsError."""
    files = Captured(address)
    if html is None:
        found = _Found([("time", "descending"), ("row", "descending")], rows or LISTED_ROWS, Counter())
    else:
        found = _Found([("score", "descending")], rows or DRAWN_ROWS, Counter())
    columns = ABOUT if html is None else [*ABOUT, "input"]
    for number, table in enumerate(files.tables(wanted, columns, _skipped), 1):
        found.add(table)
        _progress(number, len(files.files))
    count = found.counts.total()
    if not count:
        why = "no flagged input matches" if files.files else "no captured inputs"
        sys.stderr.write(f"{printable(address)}: {len(files.files)} files, {why}\n")
        return 1
    _say(f"{address}: {count} flagged inputs match, in {len(files.files)} files\n")
    for line in _table(found.counts):
        _say(line)
    kept = found.rows()
    if html is None:
        _list(kept[::-1], count)
        if wanted.request_id is not None:
            _say("\nin " + "\n   ".join(sorted(found.files)))  # for an operator who has to delete them
        _say(f"\nnext: draw them with harmgauge captured {address} --html sheet.html")
        return 0
    about = f"{len(kept)} of {count} flagged inputs in {address}, highest scores first."
    # As private as the files themselves.
    with open(os.open(html, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o600)  # an existing file may be readable by others
        stream.write(sheet("Flagged inputs", kept, about))
    _say(f"\nmade {html}: {about}\nnext: open it in a browser; it contains the inputs themselves, so keep it private")
    return 0


def _table(counts: Counter[tuple[str, str]]) -> list[str]:
    """Counts by class, the largest first, and by day."""
    days = sorted({day for _, day in counts})
    shown = days[-DAYS:]
    by_class: Counter[str] = Counter()
    for (name, _), number in counts.items():
        by_class[name] += number
    heads = ["class", *(["before"] if days[:-DAYS] else []), *shown, "all"]
    lines = [heads]
    for name, number in by_class.most_common():
        before = [str(sum(counts[name, day] for day in days[:-DAYS]))] if days[:-DAYS] else []
        lines.append([name, *before, *(str(counts[name, day]) for day in shown), str(number)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        f"{line[0]:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]


def _list(rows: list[dict[str, Any]], count: int) -> None:
    _say(f"\nthe newest {len(rows)} of {count}:" if len(rows) < count else "")
    width = max(len(row["class_name"]) for row in rows)
    _say(f"{'time (UTC)':<19}  {'score':>8}  {'class':<{width}}  {'row':>4}  {'bundle':<24}  request")
    for row in rows:
        when: datetime = row["time"]
        _say(
            f"{when:%Y-%m-%d %H:%M:%S}  {row['score']:>8.4f}  {row['class_name']:<{width}}  {row['row']:>4}  "
            f"{row['bundle']:<24}  {row['request_id']}"
        )


def _progress(done: int, files: int) -> None:
    """Shows progress on a terminal while files remain."""
    if sys.stderr.isatty():
        bar = "#" * round(30 * done / files)
        sys.stderr.write(f"\r{bar:<30} {done}/{files} files" if done < files else f"\r{'':<60}\r")
        sys.stderr.flush()


def _skipped(file: str, why: str) -> None:
    sys.stderr.write(f"{printable(file)} was skipped: {printable(why)}\n")


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


def printable(text: str) -> str:
    """The text without characters that control a terminal: a client may have chosen some of the names."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
