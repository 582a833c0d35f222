"""All figures of a benchmark as a JSON document, to compare dated runs by program."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime as ort

from harmgauge.inference.providers import usable_cores
from tests.bench.half_load import HalfLoad
from tests.bench.line import Line
from tests.bench.options import BUNDLE, PRECISION
from tests.bench.overload import Overload
from tests.bench.point import Point
from tests.bench.startup import Startup
from tests.bench.system_calls import SystemCalls

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Results:
    """The medians of a benchmark."""

    rounds: int
    seconds: float
    bare_rows_per_second: float
    points: list[Point]
    others: list[Line]
    system_calls: SystemCalls
    half_load: HalfLoad
    overload: Overload
    startup: Startup


def document(results: Results, now: datetime) -> dict[str, Any]:
    """The document that docs/performance.md describes."""
    half = results.half_load
    return {
        "schema_version": SCHEMA_VERSION,
        "date": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "bundle": f"{BUNDLE.parent.name}/{BUNDLE.name}",
        "precision": PRECISION,
        "machine": {
            "cores": usable_cores(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "onnxruntime": ort.__version__,
        },
        "rounds": results.rounds,
        "seconds": results.seconds,
        "bare_rows_per_second": results.bare_rows_per_second,
        "points": [
            asdict(point) | {"system_calls": results.system_calls.per_request.get((point.request, point.connections))}
            for point in results.points
        ],
        "others": [asdict(line) for line in results.others],
        "half_load": asdict(half) | {"over_alone": half.over_alone, "over_queued": half.over_queued},
        "overload": asdict(results.overload),
        "startup": asdict(results.startup),
    }


def write(path: Path, results: Results) -> None:
    path.write_text(json.dumps(document(results, datetime.now(UTC)), indent=1) + "\n")
