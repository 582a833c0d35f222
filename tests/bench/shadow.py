"""`python -m tests.bench.shadow`: the cost of a shadow for responses, as medians of runs with and without one."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.bench.load import Load, closed_loop, paced_loop
from tests.bench.options import BUNDLE
from tests.bench.requests import RAW
from tests.bench.service import settle
from tests.support.process import RunningService, fresh_service

SHADOW = Path(os.environ.get("SHADOW", "models/bundles/cifar10-resnet32/1"))
SECONDS = float(os.environ.get("SECONDS", "4"))
ROUNDS = int(os.environ.get("ROUNDS", "7"))

KEY, KEY_LINE = new_key("bench")
BEARER = {"Authorization": f"Bearer {KEY}"}


class Case(NamedTuple):
    name: str
    rows: int
    run: Callable[[str, bytes], Load]


CASES = (
    Case("100 requests/s", 1, lambda url, body: paced_loop(url, [body], RAW, 100, SECONDS)),
    Case("300 requests/s", 1, lambda url, body: paced_loop(url, [body], RAW, 300, SECONDS)),
    Case("1 connection", 1, lambda url, body: closed_loop(url, body, RAW, 1, SECONDS)),
    Case("16 connections", 1, lambda url, body: closed_loop(url, body, RAW, 16, SECONDS)),
    Case("16 connections, 8 rows", 8, lambda url, body: closed_loop(url, body, RAW, 16, SECONDS)),
)


class Measured(NamedTuple):
    load: Load
    scored_share: float


def _measure(service: RunningService, case: Case, body: bytes, *, with_shadow: bool) -> Measured:
    if with_shadow:
        loaded = service.client.post("/admin/shadow", json={"folder": str(SHADOW.resolve())}, headers=BEARER)
        assert loaded.status_code == 200, loaded.text
    settle(service)
    load = case.run(f"http://127.0.0.1:{service.port}/score", body)
    if not with_shadow:
        return Measured(load, 0)
    # Rows that still wait are scored afterwards and do not count.
    seen = service.client.get("/admin/shadow", headers=BEARER).json()
    scored = seen["scored_rows"]
    assert service.client.delete("/admin/shadow", headers=BEARER).status_code == 200
    return Measured(load, scored / (scored + seen["waiting_rows"] + seen["shed_rows"]))


def _median(measured: list[Measured]) -> str:
    rate, p50, p99 = (
        statistics.median(getattr(each.load, name) for each in measured)
        for name in ("requests_per_second", "p50_seconds", "p99_seconds")
    )
    return f"{rate:.0f} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f}"


def main() -> int:
    """Print one table: requests per second and latencies in ms without and with a shadow, and the share of rows that it
    scored.
    """
    rows = read_samples(load(BUNDLE)).clean
    out = sys.stdout.write
    out("| load | req/s | p50 ms | p99 ms | req/s, shadow | p50 ms | p99 ms | scored by it |\n" + "| --- " * 8 + "|\n")
    with fresh_service(BUNDLE, admin_keys=KEY_LINE) as service:
        for case in CASES:
            body = rows[: case.rows].tobytes()
            found: dict[bool, list[Measured]] = {False: [], True: []}
            for _ in tqdm(range(ROUNDS), desc=case.name, leave=False):
                for with_shadow, measured in found.items():
                    measured.append(_measure(service, case, body, with_shadow=with_shadow))
                    time.sleep(0.2)
            share = statistics.median(each.scored_share for each in found[True])
            out(f"| {case.name} | {_median(found[False])} | {_median(found[True])} | {share:.0%} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
