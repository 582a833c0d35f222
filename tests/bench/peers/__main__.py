"""`python -m tests.bench.peers [--quick]`: harmgauge and its peers on the same graph, as ratios to bare ONNX Runtime.

Each system has two workers and gets the same requests over 16 connections. Each load runs between two runs of bare ONNX
Runtime, so that other work on the machine affects both. Exits with 1 if a peer is faster in any column, or fails.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx
import numpy as np
from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.bench.bare import Baseline
from tests.bench.load import closed_loop, wrk_is_missing
from tests.bench.options import BUNDLE
from tests.bench.peers.peers import CELLS, PEERS, Peer
from tests.bench.peers.running import running
from tests.bench.peers.table import OURS, Ratios, losses, table
from tests.bench.requests import Case, cases
from tests.support.process import fresh_service

CONNECTIONS = 16
LOADS = 2
"""Loads per cell and start of a system."""


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one start and loads of 2 s instead of 3 starts and loads of 4 s"
    )
    starts, seconds = (1, 2) if parser.parse_args().quick else (3, 4)
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` ends the peers
    bench = Bench(seconds)
    ratios: Ratios = {}
    failures: list[str] = []
    left: list[Peer | None] = [None, *PEERS]
    with tqdm(total=starts * len(left), desc="peers") as bar:
        for _ in range(starts):
            for peer in random.sample(left, len(left)):
                try:
                    for request, ratio in bench.measure(peer):
                        ratios.setdefault((peer.name if peer else OURS, request), []).append(ratio)
                except (RuntimeError, httpx.HTTPError) as error:
                    if peer is None:
                        raise
                    left.remove(peer)
                    failures.append(f"{peer.name} failed, and has no further starts: {error}\n")
                bar.update()
    below = [f"below a peer: {loss}\n" for loss in losses(ratios)]
    sys.stdout.write(f"{table(ratios, [OURS, *(peer.name for peer in PEERS)], CELLS)}\n")
    sys.stdout.write(f"{CONNECTIONS} connections, medians of {starts * LOADS} loads of {seconds} s\n")
    sys.stdout.writelines(below + failures)
    return 1 if below or failures else 0


class Bench:
    """The requests, and bare ONNX Runtime to compare with."""

    def __init__(self, seconds: int) -> None:
        self._bundle, self._seconds = load(BUNDLE), seconds
        self._baseline = Baseline(self._bundle)
        self._rows = read_samples(self._bundle).clean
        every = {case.request: case for case in cases(self._bundle)}
        self._cases = {cell: every[cell] for cell in CELLS}
        self._scores = self._baseline.runtime.run(self._rows[:32]).score

    def measure(self, peer: Peer | None) -> Iterator[tuple[str, float]]:
        """Start the peer, or harmgauge if None; yields each request that it accepts, LOADS times, with the ratio.

        Raises RuntimeError if it fails, or if its scores are not those of the graph.
        """
        with self._system(peer) as urls:
            for request, url in urls.items():
                self._check(url, self._cases[request])
            warm_up, url = next(iter(urls.items()))
            self._load(url, self._cases[warm_up], 1)
            for request, url in [*urls.items()] * LOADS:
                case = self._cases[request]
                before = self._bare(case)
                rate = self._load(url, case, self._seconds) * case.rows
                # Most peers still compute the requests that wrk leaves behind, a third of a second in the 32-row cell:
                # the bare run would share the cores with them, and the peer would seem faster.
                self._check(url, case)
                yield request, rate / ((before + self._bare(case)) / 2)

    @contextmanager
    def _system(self, peer: Peer | None) -> Iterator[dict[str, str]]:
        """The URL by request."""
        if peer is None:
            with fresh_service(BUNDLE) as service:
                yield {cell: f"http://127.0.0.1:{service.port}{case.path}" for cell, case in self._cases.items()}
        else:
            with running(peer, self._bundle, self._cases[next(iter(peer.paths))]) as url:
                yield {cell: url + path for cell, path in peer.paths.items()}

    def _check(self, url: str, case: Case) -> None:
        answer = httpx.post(url, content=case.body, headers={"Content-Type": case.media_type}, timeout=30)
        answer.raise_for_status()
        document = answer.json()
        found = document["scores"] if "scores" in document else _v2_scores(document)
        if not np.allclose(found, self._scores[: case.rows], rtol=1e-4, atol=1e-5):
            raise RuntimeError(f"{url} computes other scores for {case.request}: {found}")

    def _load(self, url: str, case: Case, seconds: int) -> float:
        return closed_loop(url, case.body, case.media_type, CONNECTIONS, seconds).requests_per_second

    def _bare(self, case: Case) -> float:
        return self._baseline.run(self._rows[: case.rows], self._seconds / 4).rows_per_second


def _v2_scores(document: dict[str, Any]) -> list[float]:
    [scores] = [output["data"] for output in document["outputs"] if output["name"] == "score"]
    return cast(list[float], scores)


if __name__ == "__main__":
    sys.exit(main())
