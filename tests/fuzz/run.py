"""Runs many cases, one after another, and measures their cost."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.target import Target

CASE_SECONDS = 1.0
"""CPU time after which a case counts as a hang: its body has at most 16 KB, which should take milliseconds."""

CASE_BYTES = 32 * 2**20
"""Memory by which one case may raise the peak of the process. Bodies near the limit are in `test_memory.py`."""


@dataclass
class Findings:
    """The results of a run: the count of each outcome, and one failing case for each failure."""

    cases: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, bytes] = field(default_factory=dict)


def examine(target: Target, case: bytes) -> str:
    """The outcome of the case; raises for any failure, which includes too much time or memory."""
    before_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    outcome = target.check(case)
    seconds = time.process_time() - begin
    grown_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kilobytes)
    assert seconds < CASE_SECONDS, f"took {seconds:.1f} s"
    assert grown_bytes < CASE_BYTES, f"took {grown_bytes} bytes more than anything before"
    return outcome


def run(target: Target, cases: int, seed: int, out: Path, tick: Callable[[], object]) -> Findings:
    """Run mutated cases; the first of each kind of failure is written to `out`."""
    found = Findings()
    begin = time.perf_counter()
    for known in target.known:
        target.check(known)
    for number in range(cases):
        case = target.case(Random(f"{seed} {number}"))
        try:
            found.outcomes[examine(target, case)] += 1
        except Exception as error:
            kind = f"{type(error).__name__} {str(error)[:60]}"
            found.outcomes["FAILED"] += 1
            if kind not in found.failures and len(found.failures) < 100:
                found.failures[kind] = case
                out.mkdir(parents=True, exist_ok=True)
                (out / f"{target.name}-{seed}-{number}").write_bytes(case)
        found.cases += 1
        tick()
    found.seconds = time.perf_counter() - begin
    return found
