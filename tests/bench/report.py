"""The tables of a benchmark as a dated Markdown file with a plot."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from matplotlib.figure import Figure

from harmgauge.inference.providers import usable_cores
from tests.bench.line import Line
from tests.bench.options import PRECISION
from tests.bench.point import Point
from tests.bench.system_calls import SystemCalls

BARS = {
    "32 rows, raw": 0.97,
    "1 row, raw": 0.90,
    "1 row, .npy": 0.90,
    "1 row, JSON": 0.85,
    "1 row, V2 JSON": 0.82,
    "1 camera JPEG": 0.85,
    "1 text of 64 tokens, JSON": 0.90,
    "1 row of 14 columns, JSON": 0.80,
}
"""Ratios to bare ONNX Runtime that we aim for, at 16 connections."""

COST_BARS_SECONDS = {
    ("1 row, raw", 16): 110e-6,
    ("1 row, JSON", 16): 170e-6,
    ("1 row, V2 JSON", 16): 220e-6,
    ("1 row, raw", 1): 300e-6,
}
"""CPU time beyond inference that we aim for."""

ACCOUNTED = ("1 row, raw", "1 row, JSON", "1 row, V2 JSON", "32 rows, raw")
"""The requests whose system calls are counted, and whose costs are printed."""


def table(lines: Sequence[Line]) -> str:
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


def cost_table(points: Sequence[Point], system_calls: SystemCalls) -> str:
    """CPU microseconds per request; a sentence below the table gives the reason if system calls are missing."""
    text = [
        "| request | connections | us beyond inference | user | system | us of inference | voluntary switches | "
        "system calls | us of wrk |",
        "| --- |" + " ---: |" * 8,
    ]
    for point in points:
        if point.request not in ACCOUNTED:
            continue
        cost, calls = point.cost, system_calls.per_request.get((point.request, point.connections))
        times = (cost.beyond_inference_seconds, cost.user_seconds, cost.system_seconds, cost.inference_seconds)
        cells = [point.request, str(point.connections), *(f"{seconds * 1e6:.0f}" for seconds in times)]
        cells += [f"{cost.voluntary_switches:.1f}", f"{sum(calls.values()):.1f}" if calls else "-"]
        text.append("| " + " | ".join([*cells, f"{cost.load_generator_seconds * 1e6:.0f}"]) + " |")
    if system_calls.missing is not None:
        text += ["", system_calls.missing]
    return "\n".join(text)


def bars(lines: Sequence[Line]) -> list[str]:
    """A sentence for each figure that we have set a bar for."""
    notes = []
    for line in lines:
        if line.connections == 16 and line.request in BARS:
            notes.append(f"{line.request} at 16 connections: {line.ratio:.2f}, wanted {BARS[line.request]:.2f}.")
        most = COST_BARS_SECONDS.get((line.request, line.connections))
        if most is not None and isinstance(line, Point):
            count = f"{line.connections} connection{'s' if line.connections > 1 else ''}"
            beyond = line.cost.beyond_inference_seconds * 1e6
            notes.append(
                f"{line.request} at {count}: {beyond:.0f} us of CPU beyond inference, wanted {most * 1e6:.0f} at most."
            )
    return notes


def stem() -> str:
    """The name of today's files, without an extension."""
    return f"{datetime.now(UTC):%Y-%m-%d}" + ("" if PRECISION == "float32" else f"-{PRECISION}")


def write(folder: Path, lines: Sequence[Line], costs: str, notes: Sequence[str]) -> Path:
    """Write `DATE.md` and `DATE.png` to `folder`; returns the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    name = stem()
    _plot(lines).savefig(folder / f"{name}.png", dpi=90, metadata={"Software": None})
    path = folder / f"{name}.md"
    machine = f"{usable_cores()} cores, {platform.machine()}, Python {platform.python_version()}"
    path.write_text(
        f"# Benchmark of {name}\n\n`make bench` on {machine}, graph in {PRECISION}; the load generator shares the "
        f"cores. Medians of the rounds. [All figures]({name}.json).\n\n![ratios]({name}.png)\n\n{table(lines)}\n\n"
        f"## What a request costs beside its inference\n\n{costs}\n\n## Other figures\n\n"
        + "\n".join(f"- {note}" for note in notes)
        + "\n"
    )
    return path


def _plot(lines: Sequence[Line]) -> Figure:
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
