"""The same targets under atheris, which keeps cases that reach new code and continues from them."""

from __future__ import annotations

import atexit
import signal
import sys
from pathlib import Path
from random import Random
from typing import NoReturn

import atheris

from tests.fuzz.readers import reader
from tests.fuzz.run import examine


def fuzz(name: str, cases: int, seed: int, out: Path) -> NoReturn:
    """Run `cases` cases and end the process; at the first failure it ends with a nonzero status.

    Cases that reach new code are collected in `out/NAME`; a failing case is written to `out`.
    """
    with atheris.instrument_imports(include=["harmgauge.api", "harmgauge.errors"]):
        target = reader(name)
    found = out / name
    found.mkdir(parents=True, exist_ok=True)
    for number, known in enumerate(target.known):
        (found / f"seed-{number}").write_bytes(known)

    def mutate(data: bytes, max_size: int, mutation_seed: int) -> bytes:
        chance = Random(mutation_seed)
        return target.mutate(data, chance.choice(target.known), chance)[:max_size]

    def examine_one(case: bytes) -> None:
        examine(target, case)

    arguments = [f"-atheris_runs={cases}", f"-seed={seed % 2**32}", "-max_len=16384", f"-artifact_prefix={out}/{name}-"]
    # Otherwise libFuzzer's timer would kill the interpreter while it exits, when the signal has no handler any more.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    atheris.Setup([sys.argv[0], *arguments, "-timeout=10", str(found)], examine_one, custom_mutator=mutate)
    atheris.Fuzz()
    sys.exit(0)
