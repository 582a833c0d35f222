"""How soon a changed column is named, how seldom others are, and what columns cost."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.order_statistics import Boundaries
from harmgauge.bundle.sketches import NUMBER_LEVELS
from harmgauge.drift.columns.bets import STAKES
from tests.bench.drift.plan import STREAMS, table
from tests.support.column_streams import blocks, columns_of, rows_to_a_name

COLUMNS = 100
CHANGED = 7
MOST_ROWS = 3000
CLEAN_ROWS = 20_000
REQUESTS = 256
"""Requests passed at a time, as in the service."""

ROUNDS = 200

SHARES = ((0.0, 0.05), (0.01, 0.05), (0.1, 0.2), (0.5, 0.65))
"""A category's share in the reference, and in the traffic."""


def section() -> str:
    delays = [
        [f"{rows:,}, tolerance {tolerance:g}", *_delays(rows, tolerance)]
        for tolerance in (0.01, 0.0)
        for rows in (5000, 1000, 500)
    ]
    shares = [[f"{before:g} -> {after:g}", *_category_delays(before, after)] for before, after in SHARES]
    costs = [
        f"- {COLUMNS} columns of {what}: {microseconds(what, 1):.1f} us a row in requests of one row, "
        f"{microseconds(what, 32):.2f} us in requests of 32"
        for what in ("numbers", "whole numbers", "numbers, of which some are missing")
    ]
    costs.append(
        f"- for comparison, the same bets on {COLUMNS} columns of numbers in a few lines of NumPy, row by row: "
        f"{plain_microseconds():.1f} us a row"
    )
    return (
        f"{COLUMNS} columns of independent numbers, one of which is shifted by half a standard deviation from the "
        f"first row on; 1e6 rows between false alarms. {STREAMS} runs; rows until it is named.\n\n"
        + table(["reference rows", "median", "95th percentile", "named first", "wrong names"], delays)
        + "\n\nThe share of a category among values, the threshold that of 100 columns, reference 5,000 rows, "
        "tolerance .01:\n\n"
        + table(["share", "median", "95th percentile", "named"], shares)
        + f"\n\nNames in {STREAMS} clean runs of {CLEAN_ROWS:,} rows with a threshold of 1e5 rows: {_wrong_names()}; "
        f"expected at most {STREAMS * CLEAN_ROWS / 1e5:.1f}.\n\nCosts on one core, with reading the columns:\n\n"
        + "\n".join(costs)
    )


def _delays(reference_rows: int, tolerance: float) -> list[str]:
    found, first, wrong = [], 0, 0
    for seed in tqdm(range(STREAMS), desc=f"reference {reference_rows}"):
        random = np.random.default_rng(seed)
        columns = columns_of(random.normal(size=(reference_rows, COLUMNS)), tolerance=tolerance, seed=seed)
        rows = random.normal(size=(MOST_ROWS, COLUMNS))
        rows[:, CHANGED] += 0.5
        delay, name = rows_to_a_name(columns, rows)
        found.append(MOST_ROWS if delay is None else delay)
        first += name == str(CHANGED)
        wrong += sum(state.state == "drifting" and state.column != str(CHANGED) for state in columns.view().states())
    median, late = np.percentile(found, [50, 95])
    return [f"{median:.0f}", f"{late:.0f}", f"{first} of {STREAMS}", str(wrong)]


def _category_delays(before: float, after: float) -> list[str]:
    found, named = [], 0
    for seed in tqdm(range(STREAMS), desc=f"{before:g} -> {after:g}"):
        random = np.random.default_rng(seed)
        reference = (random.random((5000, 1)) < before).astype(float)
        # The column and the predicted class: two, with the threshold of a hundred.
        columns = columns_of(reference, between=COLUMNS * 1_000_000 // 2, seed=seed)
        delay, _ = rows_to_a_name(columns, (random.random((MOST_ROWS, 1)) < after).astype(float))
        found.append(np.inf if delay is None else delay)
        named += delay is not None
    median, late = np.percentile(found, [50, 95], method="higher")
    return [f"{median:.0f}", f"{late:.0f}", f"{named} of {STREAMS}"]


def _wrong_names() -> int:
    names = 0
    for seed in tqdm(range(STREAMS), desc="clean"):
        random = np.random.default_rng(1000 + seed)
        columns = columns_of(random.normal(size=(1000, COLUMNS)), between=100_000, tolerance=0.0, seed=seed)
        for _ in range(CLEAN_ROWS // 1000):
            columns.observe(blocks(columns, random.normal(size=(1000, COLUMNS))))
        names += columns.view().drifting
    return names


def microseconds(what: str, request_rows: int) -> float:
    """Processor time of buffer and monitor for each row, the least of ROUNDS."""
    random = np.random.default_rng(0)

    def values(rows: int) -> npt.NDArray[np.float64]:
        found = random.normal(size=(rows, COLUMNS))
        if what == "whole numbers":
            return np.rint(5 * found)
        if what != "numbers":
            found[random.random(found.shape) < 0.05] = np.nan
        return found

    # The same rows again and again look like a change.
    columns = columns_of(values(5000), missing=what.endswith("missing"), between=10**15)
    rows = values(REQUESTS // request_rows * request_rows)
    found = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        columns.observe(blocks(columns, rows, each=request_rows))
        found.append(time.process_time() - begin)
    return min(found) / len(rows) * 1e6


def plain_microseconds() -> float:
    """Processor time of the bets alone, on numbers without ties, for each row of REQUESTS, the least of ROUNDS / 4."""
    random = np.random.default_rng(0)
    numbers = Boundaries.of(list(random.normal(size=(COLUMNS, 5000))), NUMBER_LEVELS, random)
    rows = random.normal(size=(REQUESTS, COLUMNS))
    is_upper = np.arange(2 * NUMBER_LEVELS)[:, None] < NUMBER_LEVELS
    stakes = STAKES[:, None, None]
    found = []
    for _ in range(ROUNDS // 4):
        counts, gaps = numbers.sizes, 5001.0
        wealth = np.zeros((len(STAKES), *counts.shape))
        begin = time.process_time()
        for row in rows:
            hits = np.where(is_upper, row > numbers.values, row <= numbers.values)
            allowed = 0.01 + 0.99 * counts / gaps
            wealth = (wealth + 1) * (1 - stakes + stakes * (hits / allowed))
            counts, gaps = counts + hits, gaps + 1
        found.append(time.process_time() - begin)
    return min(found) / REQUESTS * 1e6
