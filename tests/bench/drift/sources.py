"""How soon broken sources are named, how seldom others are, and what sources cost."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.app import build
from harmgauge.drift.state import Blocks
from harmgauge.settings import load
from tests.bench.drift.plan import STREAMS, table
from tests.support.asgi import score_raw
from tests.support.source_streams import BROKEN, Delay, Traffic, clean_peaks, delay, monitored, names, names_of_offsets
from tests.support.toy import instances, toy_bundle

SOURCES = 1000
CLEAN_ROWS = 10**6
OFFSET_SOURCES = 500
MANY = 10_000
REQUESTS = 256
"""Requests passed at a time, as in the service."""

RUNS = max(1, STREAMS // 10)
"""Runs with broken sources; each has BROKEN of them."""


def section() -> str:
    delays = [
        (title, *_delays(with_harm=with_harm, settles=settles))
        for title, with_harm, settles in (
            ("change, after a baseline of 500 rows", False, True),
            ("harm, from the first row on", True, False),
            ("both, after a baseline of 500 rows", True, True),
        )
    ]
    peaks = {largest: _clean_peaks(largest) for largest in (1, 20)}
    clean = [
        [f"{between:,}", *(f"{np.sum(found >= between)}" for found in peaks.values())] for between in (10**6, 10**8)
    ]
    offsets = [names_of_offsets(seed, sources=OFFSET_SOURCES) for seed in tqdm(range(RUNS), desc="offsets")]
    return (
        f"{SOURCES} sources, {BROKEN} of which become 30 % harmful; 1e6 rows between false alarms, tolerance .01. "
        f"{RUNS} runs a cell; own rows, or own requests of 1 to 20 rows, until a broken source is named: median (95th "
        "percentile), and wrong names in all runs.\n\n"
        + table(["evidence", "single rows", "requests", "wrong names"], delays)
        + f"\n\nNames in {STREAMS} clean runs of {CLEAN_ROWS:,} rows, by rows between false alarms:\n\n"
        + table(["", "single rows", "requests of 1 to 20 rows"], clean)
        + f"\n\nNamed among {OFFSET_SOURCES} sources whose scores differ for ever by offsets of .2 standard deviations "
        f"within 1,000 own rows after the baseline: at most {max(offsets)} in any of {RUNS} runs.\n\n"
        + _costs()
        + asyncio.run(_in_service())
    )


def _delays(*, with_harm: bool, settles: bool) -> tuple[str, str, str]:
    cells, wrong = [], 0
    for largest in (1, 20):
        runs: list[Delay] = [
            delay(seed, with_harm=with_harm, settles=settles, largest=largest, sources=SOURCES)
            for seed in tqdm(range(RUNS), desc="delays")
        ]
        found = np.concatenate([run.rows if largest == 1 else run.requests for run in runs])
        cells.append(f"{np.median(found):.0f} ({np.quantile(found, 0.95):.0f})")
        wrong += sum(run.wrong_names for run in runs)
    return cells[0], cells[1], str(wrong)


def _clean_peaks(largest: int) -> npt.NDArray[np.float32]:
    runs = tqdm(range(STREAMS), desc="clean")
    return np.concatenate([clean_peaks(seed, CLEAN_ROWS, largest=largest, sources=SOURCES) for seed in runs])


def _costs() -> str:
    """Microseconds per request on one core, 256 at a time, and the memory of many sources."""
    cells = []
    for count in (1, 100, MANY):
        found, random = monitored(with_harm=True, most=MANY), np.random.default_rng(0)
        traffic = Traffic(names(count), with_p=True)
        pieces = [_piece(traffic, random) for _ in range(20)]
        for _ in range(5):
            for piece in pieces:
                found.observe(piece)
        best = float("inf")
        for _ in range(10):
            begin = time.process_time()
            for piece in pieces:
                found.observe(piece)
            best = min(best, (time.process_time() - begin) / len(pieces) / REQUESTS * 1e6)
        cells.append(f"- {count:,} sources: {best:.2f}")
    tracemalloc.start()  # the process's own peak is that of the streams before
    found = monitored(with_harm=True, most=MANY, seed=1)
    traffic = Traffic(names(MANY, "key"), with_p=True)
    found.observe(traffic.requests())
    found.dump()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    begin = time.process_time()
    found.observe(Traffic(names(1, "key"), with_p=True).requests())
    found.dump()
    dumping = time.process_time() - begin
    return (
        "Microseconds of a request of one row, 256 passed at a time, on one core:\n\n"
        + "\n".join(cells)
        + f"\n\nMemory of {MANY:,} sources, with the copy that is being saved: {peak_bytes / 2**20:.0f} MiB. "
        f"Copying their state for a save takes {dumping * 1e3:.1f} ms."
    )


def _piece(traffic: Traffic, random: np.random.Generator) -> Blocks:
    blocks = traffic.requests(each=max(1, -(-REQUESTS // len(traffic.sources))))
    kept = np.zeros(len(blocks.rows), bool)
    kept[random.permutation(len(kept))[:REQUESTS]] = True
    return blocks.only(kept)


async def _in_service() -> str:
    """CPU time of a request of one row on the event loop of a service, without a socket."""
    shape, rounds = (4, 4, 3), 40
    with tempfile.TemporaryDirectory() as folder:
        bundle = toy_bundle(Path(folder), error_probability=True)
        service = build(load({"HARMGAUGE_BUNDLE": str(bundle), "HARMGAUGE_WORKERS": "1"}))
        service.readiness.ready()
        body = instances(1, shape).tobytes()
        best = dict.fromkeys((0, 1, 100), float("inf"))
        for _ in range(rounds):
            for count in random.sample(list(best), len(best)):
                begin = time.thread_time()
                for number in range(REQUESTS):  # the feed passes them on once
                    source = f"camera-{number % count}" if count else None
                    assert await score_raw(service, body, source) == 200
                best[count] = min(best[count], (time.thread_time() - begin) / REQUESTS * 1e6)
        service.abandon()
    without, one, many = best.values()
    return (
        f"\n\nCPU time of a request of one row on the event loop, without a socket: {without:.1f} us without a source, "
        f"{one:.1f} from one source ({one / without - 1:+.1%}), {many:.1f} from 100 ({many / without - 1:+.1%})."
    )
