"""The table of all systems, and the cells in which a peer is faster than harmgauge."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

OURS = "harmgauge"

Ratios = dict[tuple[str, str], list[float]]
"""By system and request: the throughput, of bare ONNX Runtime just before and after, in each round."""


def losses(ratios: Ratios) -> list[str]:
    """A sentence for each cell of ours that is below a peer's, compared by the medians of the rounds."""
    middle = {key: statistics.median(rounds) for key, rounds in ratios.items()}
    return [
        f"{request}: {OURS} {middle[OURS, request]:.3f}, {system} {ratio:.3f}."
        for (system, request), ratio in middle.items()
        if system != OURS and ratio > middle[OURS, request]
    ]


def table(ratios: Ratios, systems: Sequence[str], requests: Sequence[str]) -> str:
    """A row per system. A dash: the system does not accept the request. Bold: the best of the column."""
    lines = ["| of bare ONNX Runtime | " + " | ".join(requests) + " |", "| --- |" + " ---: |" * len(requests)]
    middle = {key: statistics.median(rounds) for key, rounds in ratios.items()}
    best = {request: max(ratio for (_, other), ratio in middle.items() if other == request) for request in requests}
    for system in systems:
        cells = []
        for request in requests:
            ratio = middle.get((system, request))
            text = "-" if ratio is None else f"{ratio:.2f}"
            cells.append(f"**{text}**" if ratio == best[request] else text)
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
