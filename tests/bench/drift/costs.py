"""Costs of the detectors, on one core."""

from __future__ import annotations

import time

import numpy as np

from harmgauge.drift import evidence, ks, mmd
from harmgauge.drift.detectable import Detectable
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import Blocks

PERMUTATIONS = 9999
"""The number that the default of a million rows between false alarms requires."""

REQUESTS = 256
"""Requests passed at a time, as in the service."""

ROUNDS = 40


def section() -> str:
    lines = [
        f"- `score_evidence`, reference of {rows:,} scores: {evidence_microseconds(rows, 1):.1f} us a score in "
        f"requests of one row, {evidence_microseconds(rows, 32):.2f} us in requests of 32"
        for rows in (1000, 10_000, 100_000)
    ]
    lines.append(f"- its bounds, once a start: {bounds_milliseconds(5000):.0f} ms for 5,000 reference scores")
    lines.append(f"- what it can detect, once a start: {detectable_milliseconds():.0f} ms")
    lines.append(f"- `score_ks`, 10,000 scores against 10,000: {ks_milliseconds(10_000):.1f} ms")
    lines += [
        f"- `feature_mmd`, 500 rows of {width} features against 1000: {mmd_milliseconds(width, 0):.0f} ms of a core a "
        f"test, {mmd_milliseconds(width, 0.5):.0f} ms if p is small and all {PERMUTATIONS} permutations are drawn"
        for width in (64, 2048)
    ]
    return "What the detectors cost on one core (`harm`: see its section):\n\n" + "\n".join(lines)


def evidence_microseconds(reference_rows: int, request_rows: int) -> float:
    """Microseconds of `score_evidence` per score, the least of ROUNDS."""
    random = np.random.default_rng(0)
    detector = ScoreEvidence(np.sort(random.normal(size=reference_rows)), 10**12, 0.01)
    blocks = Blocks.of(random.normal(size=REQUESTS * request_rows), request_rows)
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        detector.observe(blocks)
        found.append(time.perf_counter() - begin)
    return min(found) / len(blocks.scores) * 1e6


def bounds_milliseconds(reference_rows: int) -> float:
    begin = time.perf_counter()
    evidence.Null.of(reference_rows, 0.01)
    return (time.perf_counter() - begin) * 1e3


def detectable_milliseconds() -> float:
    begin = time.perf_counter()
    assert Detectable(5000, 0.01, 1_000_000).sentence
    return (time.perf_counter() - begin) * 1e3


def ks_milliseconds(rows: int) -> float:
    random = np.random.default_rng(0)
    reference, window = np.sort(random.normal(size=rows)), random.normal(size=rows)
    begin = time.perf_counter()
    for _ in range(5):
        ks.two_sample(window, reference)
    return (time.perf_counter() - begin) / 5 * 1e3


def mmd_milliseconds(width: int, shift: float) -> float:
    """CPU time of one test with the default window and 1000 reference rows; with a shift, all permutations are run."""
    random = np.random.default_rng(0)
    reference = random.normal(size=(1000, width)).astype(np.float32)
    recent = random.normal(shift, 1, (500, width)).astype(np.float32)
    begin = time.process_time()
    mmd.permutation_test(reference, recent, PERMUTATIONS, random)
    return (time.process_time() - begin) * 1e3
