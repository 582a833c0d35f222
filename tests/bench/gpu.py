"""`python -m tests.bench.gpu`: the scores of a GPU against those of the CPU, and the service on that GPU under load.

The baseline is ONNX Runtime on the same GPU, through the service's own buffers, without HTTP. PROVIDERS=cpu tries the
benchmark itself on a machine without a GPU; ROWS=FILE.npy adds rows of your own to the comparison of scores.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime as ort

from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import read_samples
from harmgauge.inference.padded_batches import batch_sizes
from harmgauge.inference.providers import Providers
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.inference.scorer import Scored, Scorer
from tests.bench.gpu_service import measure_service, nvidia_smi
from tests.bench.load import wrk_is_missing
from tests.bench.options import BUNDLE, SECONDS

PROVIDERS = cast(Providers, os.environ.get("PROVIDERS", "cuda"))
ROWS = os.environ.get("ROWS")

say = sys.stdout.write


def main() -> int:
    """Print all tables as Markdown."""
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    bundle = load(BUNDLE)
    say(f"{nvidia_smi('--query-gpu=name,driver_version,memory.total')}; ONNX Runtime {ort.__version__}; ")
    say(f"{os.cpu_count()} cores; bundle {bundle.manifest.name}/{bundle.manifest.version}; {PROVIDERS}\n")
    compare_scores(bundle)
    begin = time.perf_counter()
    runtime = OnnxRuntime(bundle, PROVIDERS)
    say(f"\nloaded and warmed up in {time.perf_counter() - begin:.1f} s on {runtime.providers[0]}\n")
    rows = read_samples(bundle).clean
    best = measure_runs(runtime, rows)
    del runtime
    measure_service(rows, PROVIDERS, best)
    return 0


def compare_scores(bundle: Bundle) -> None:
    """Score the same rows on the CPU and on the GPU: clean samples, corrupted ones, noise, and those of ROWS."""
    samples, random = read_samples(bundle), np.random.default_rng(0)
    shape = (2000, *bundle.manifest.input.shape)
    sets: dict[str, Rows] = {
        "clean samples": samples.clean,
        "corrupted samples": samples.corrupted,
        "noise": random.integers(0, 256, shape).astype(bundle.manifest.input.numpy_dtype),
    }
    if ROWS is not None:
        sets[Path(ROWS).name] = np.load(ROWS)
    cpu, gpu = Scorer(bundle, "cpu"), Scorer(bundle, PROVIDERS)
    say("\n| rows | number | median score | score: mean difference | largest | largest, relative | ")
    say(f"P(wrong): largest | flags that differ | predictions that differ |\n{'| --- ' * 9}|\n")
    for name, rows in sets.items():
        expected, found = cpu.score(rows), gpu.score(rows)
        say(f"| {name} | {len(rows)} | {np.median(expected.scores):.3g} | {_differences(expected, found)} |\n")


def _differences(expected: Scored, found: Scored) -> str:
    off = np.abs(found.scores - expected.scores)
    relative = off / np.maximum(np.abs(expected.scores), 1e-6)
    chances = "-"
    if expected.error_probability is not None and found.error_probability is not None:
        chances = f"{np.abs(found.error_probability - expected.error_probability).max():.2g}"
    flags = np.count_nonzero(found.is_adversarial != expected.is_adversarial)
    predictions = np.count_nonzero(found.predictions != expected.predictions)
    return f"{off.mean():.2g} | {off.max():.2g} | {relative.max():.2g} | {chances} | {flags} | {predictions}"


def measure_runs(runtime: OnnxRuntime, rows: Rows) -> float:
    """Runs of each batch size, in a row and after a run of another size; returns the most rows per second.

    A runtime that plans again whenever the size changes shows in the last column.
    """
    say(f"\n| rows in a run | median ms | rows/s | after another size: median ms |\n{'| --- ' * 4}|\n")
    sizes, best = batch_sizes(runtime.max_batch_rows), 0.0
    for size, other in zip(sizes, (*sizes[1:], sizes[0]), strict=True):
        batch, between = (np.resize(rows, (count, *rows.shape[1:])) for count in (size, other))
        alone_seconds = _median_seconds(partial(runtime.run, batch))
        switched_seconds = _median_seconds(partial(runtime.run, batch), partial(runtime.run, between))
        best = max(best, size / alone_seconds)
        say(f"| {size} | {alone_seconds * 1e3:.2f} | {size / alone_seconds:.0f} | {switched_seconds * 1e3:.2f} |\n")
    return best


def _median_seconds(run: Callable[[], object], before: Callable[[], object] | None = None) -> float:
    """Over a quarter of SECONDS, and at least one run after the first; `before` is not timed."""
    run()
    seconds: list[float] = []
    end = time.perf_counter() + SECONDS / 4
    while not seconds or time.perf_counter() < end:
        if before is not None:
            before()
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
