"""The section of the report about named causes: sources and columns."""

from __future__ import annotations

from html import escape
from typing import Any

from harmgauge_models.evaluation import figures, tables

Quality = dict[str, Any]


def causes_section(quality: Quality) -> str:
    """Empty without corrupted rows."""
    found = quality.get("causes")
    if found is None:
        return ""
    parts = [_sources(quality), _columns(quality)]
    streams, most = found["streams"], found["most_rows"]
    return f"""<section>
<h2>Which source, which column?</h2>
<p>The service also names the cause of a change. Rows are medians of {streams} streams of requests of one row, at
{found["rows_between_false_alarms"]:,} rows between wrong names. A stream in which the cause was not named counts as
{most:,} rows.</p>
{"".join(parts)}
</section>"""


def _sources(quality: Quality) -> str:
    found = quality["causes"]["sources"]
    severity, what = quality["delays"]["severity"], figures.unit(quality)
    rows = [_row(kind.replace("_", " "), entry, "by_harm") for kind, entry in found["by_kind"].items()]
    text = (
        f"Of {found['sources']} sources, one sends only corrupted {what} (severity {severity}) once its first "
        f"{found['baseline_rows']} rows were clean. How many of its own rows pass until it is named, and why?"
    )
    head = ["kind", "own rows", "streams with its name", "of these by harm", "other names in all streams"]
    return f"<p>{escape(text)}</p>{tables.table('One corrupted source', head, rows)}"


def _columns(quality: Quality) -> str:
    found = quality["causes"]["columns"]
    if found is None:
        return ""
    rows = [_row(name, entry, "named_first") for name, entry in found["by_column"].items()]
    text = (
        f"One column of numbers is shifted by {found['shift']:g} of its standard deviations. How many rows pass until "
        f"it is named? Without any change, the streams had {found['names_if_clean']} names: if there are many, these "
        "rows differ from those that the bundle was calibrated on."
    )
    head = ["column", "rows", "streams with its name", "of these first", "other names in all streams"]
    return f"<p>{escape(text)}</p>{tables.table('One shifted column', head, rows)}"


def _row(cause: str, entry: dict[str, Any], fact: str) -> list[str]:
    """The cells of a line; `fact` is the key of what is true of some of the streams."""
    return [cause, f"{entry['median_rows']:.0f}", *(str(entry[key]) for key in ("named", fact, "other_names"))]
