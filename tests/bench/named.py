"""Texts and rows of a table under load, compared with bare ONNX Runtime on the same graph and tokenizer.

`python -m tests.bench.named` measures only these.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge.bundle.tokenizer import open_tokenizer
from tests.bench import bare, report
from tests.bench.line import Line, median
from tests.bench.load import mixed_loop, wrk_is_missing
from tests.bench.named_bundles import LONGEST, columns, table_bundle, text_bundle, text_of
from tests.bench.proc import cpu_time
from tests.support.process import fresh_service

TOKENS = LONGEST // 2
CONNECTIONS = 16
DIFFERENT = 32
"""Different requests that are sent."""

JSON = "application/json"


@dataclass(frozen=True)
class Kind:
    """Requests for one bundle, and `run`, the same work for request number i without a service."""

    request: str
    rows: int
    bundle: Path
    bodies: list[bytes]
    run: Callable[[int], object]


def kinds(folder: Path) -> Iterator[Kind]:
    """The requests, with their bundles in `folder`."""
    text, table = text_bundle(folder), table_bundle(folder)
    session, tokenizer = _session(text), open_tokenizer(load(text))
    texts = [text_of(tokenizer, TOKENS, 1000 + seed) for seed in range(DIFFERENT)]

    def run_text(number: int) -> object:
        found = tokenizer.encode(texts[number % DIFFERENT])
        feeds = {"input_ids": [found.ids], "attention_mask": [found.attention_mask]}
        return session.run(["score", "probabilities"], {name: np.array(ids) for name, ids in feeds.items()})

    yield Kind(f"1 text of {TOKENS} tokens, JSON", 1, text, [_body([{"text": text}]) for text in texts], run_text)
    for rows in (1, 32):
        yield _table(table, rows)


def _table(folder: Path, rows: int) -> Kind:
    session, inputs = _session(folder), load(folder).manifest.inputs
    arrays = [columns(rows, 1000 + seed) for seed in range(DIFFERENT)]
    records = [[{name: array[at, 0].item() for name, array in each.items()} for at in range(rows)] for each in arrays]
    feeds: list[Mapping[str, Array]] = [
        {found.name: each[found.name].astype(object if found.is_text else found.dtype) for found in inputs}
        for each in arrays
    ]

    def run(number: int) -> object:
        return session.run(["score", "probabilities"], feeds[number % DIFFERENT])

    name = f"{rows} row{'s' if rows > 1 else ''} of {len(inputs)} columns, JSON"
    return Kind(name, rows, folder, list(map(_body, records)), run)


def _body(instances: list[dict[str, Any]]) -> bytes:
    return json.dumps({"instances": instances}).encode()


def _session(folder: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(load(folder).graph, options, providers=["CPUExecutionProvider"])


def measure(rounds: int, seconds: float) -> Iterator[tuple[Line, str]]:
    """For each kind of request, the medians of the rounds, and a note on its CPU time."""
    with tempfile.TemporaryDirectory() as scratch:
        for kind in kinds(Path(scratch)):
            yield _measured(kind, rounds, seconds)


def _measured(kind: Kind, rounds: int, seconds: float) -> tuple[Line, str]:
    lines: list[Line] = []
    alone, served = [], []
    with fresh_service(kind.bundle) as service:
        url = f"http://127.0.0.1:{service.port}/score"
        mixed_loop(url, kind.bodies, JSON, CONNECTIONS, min(1.0, seconds))
        for _ in range(rounds):
            before = bare.run_calls(kind.run, kind.rows, seconds / 2)
            begin = cpu_time(service.process.pid).seconds
            seen = mixed_loop(url, kind.bodies, JSON, CONNECTIONS, seconds)
            rate = seen.requests_per_second * kind.rows
            served.append((cpu_time(service.process.pid).seconds - begin) / (rate * seconds))
            after = bare.run_calls(kind.run, kind.rows, seconds / 2)
            alone += [before.cpu_per_row.seconds, after.cpu_per_row.seconds]
            ratio = rate / statistics.mean((before.rows_per_second, after.rows_per_second))
            lines.append(Line(kind.request, CONNECTIONS, rate, ratio, seen.p50_seconds, seen.p99_seconds))
    return median(lines), (
        f"{kind.request}: {statistics.median(served) * 1e6:.0f} us of CPU for a row, in bare ONNX Runtime "
        f"{statistics.median(alone) * 1e6:.0f}."
    )


def main() -> int:
    """Measure and print."""
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    rounds, seconds = int(os.environ.get("ROUNDS", "3")), float(os.environ.get("SECONDS", "4"))
    found = list(tqdm(measure(rounds, seconds), desc="bench", total=3))
    sys.stdout.write(report.table([line for line, _ in found]) + "\n" + "\n".join(note for _, note in found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
