"""The table of a benchmark as a dated Markdown file with a plot."""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from matplotlib.figure import Figure

from harmgauge.inference.providers import usable_cores

BARS = {
    "32 rows, raw": 0.97,
    "1 row, raw": 0.90,
    "1 row, .npy": 0.90,
    "1 row, JSON": 0.85,
    "1 text of 64 tokens, JSON": 0.90,
    "1 row of 14 columns, JSON": 0.80,
}
"""Ratios to bare ONNX Runtime that we aim for."""


@dataclass(frozen=True)
class Line:
    """A kind of request at a number of connections; `ratio` is to bare ONNX Runtime in the same round."""

    request: str
    connections: int
    rows_per_second: float
    ratio: float
    p50_seconds: float
    p99_seconds: float


def median(rounds: list[Line]) -> Line:
    """The medians of lines for the same requests."""
    columns = zip(*(line.__dict__.values() for line in rounds), strict=True)
    request, connections, *numbers = columns
    return Line(request[0], connections[0], *(statistics.median(column) for column in numbers))


def table(lines: list[Line]) -> str:
    text = [
        "| request | connections | rows/s | of bare ONNX Runtime | p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    text += [
        f"| {line.request} | {line.connections} | {line.rows_per_second:.0f} | {line.ratio:.2f} | "
        f"{line.p50_seconds * 1e3:.1f} | {line.p99_seconds * 1e3:.1f} |"
        for line in lines
    ]
    return "\n".join(text)


def write(folder: Path, lines: list[Line], notes: list[str]) -> Path:
    """Write `DATE.md` and `DATE.png` to `folder`; returns the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    _plot(lines).savefig(folder / f"{date}.png", dpi=90, metadata={"Software": None})
    path = folder / f"{date}.md"
    machine = f"{usable_cores()} cores, {platform.machine()}, Python {platform.python_version()}"
    path.write_text(
        f"# Benchmark of {date}\n\n`make bench` on {machine}; the load generator shares the cores. "
        f"Medians of the rounds.\n\n![ratios]({date}.png)\n\n{table(lines)}\n\n"
        + "\n".join(f"- {note}" for note in notes)
        + "\n"
    )
    return path


def _plot(lines: list[Line]) -> Figure:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for request in dict.fromkeys(line.request for line in lines):
        own = [line for line in lines if line.request == request]
        axes.plot([line.connections for line in own], [line.ratio for line in own], marker="o", label=request)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="connections", ylabel="rows/s, of bare ONNX Runtime", ylim=(0, 1.1))
    axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    axes.legend(fontsize=8, ncols=2, loc="lower right")
    return figure
