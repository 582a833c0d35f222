"""The comparison with the peers: its table, its verdict, and the processes that it starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harmgauge.bundle.load import load
from tests.bench.options import BUNDLE
from tests.bench.peers import running
from tests.bench.peers.environments import packages
from tests.bench.peers.peers import CELLS, JSON_CELL, PEERS, Peer
from tests.bench.peers.table import OURS, Ratios, losses, table
from tests.bench.requests import cases
from tests.support.process import wait_until

RATIOS: Ratios = {
    ("mosec", "raw"): [0.9, 0.7, 0.8],
    (OURS, "raw"): [0.85, 0.85, 0.2],
    (OURS, "JSON"): [0.6, 0.6, 0.6],
    ("mosec", "JSON"): [0.7, 0.5, 0.61],
}


def test_a_peer_that_is_faster_in_a_cell_is_a_loss() -> None:
    assert losses(RATIOS) == ["JSON: harmgauge 0.600, mosec 0.610."]


def test_no_peer_is_faster_if_ours_is_as_fast_or_alone() -> None:
    assert losses({(OURS, "raw"): [0.5], ("mosec", "raw"): [0.5], (OURS, "V2 JSON"): [0.1]}) == []


def test_the_table_shows_medians_marks_the_best_and_what_a_peer_does_not_accept() -> None:
    rows = table(RATIOS | {("MLServer", "raw"): [0.3]}, [OURS, "mosec", "MLServer"], ["JSON", "raw"]).splitlines()
    assert rows[0] == "| of bare ONNX Runtime | JSON | raw |"
    assert rows[2:] == [
        "| harmgauge | 0.60 | **0.85** |",
        "| mosec | **0.61** | 0.80 |",
        "| MLServer | - | 0.30 |",
    ]


def test_every_peer_has_a_pinned_version_and_accepts_a_request_of_the_bench() -> None:
    for peer in PEERS:
        own, *shared = packages(peer.environment)
        assert "==" in own
        assert [name.partition("==")[0] for name in shared] == ["numpy", "onnxruntime"]
        assert peer.paths
        assert set(peer.paths) <= set(CELLS)


def test_a_peer_that_does_not_start_is_reported_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "interpreter", lambda _: Path(sys.executable))
    monkeypatch.setattr(running, "START_SECONDS", 1.0)
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        "print('loading', flush=True)\n"
        "time.sleep(600)\n"
    )
    bundle = load(BUNDLE)
    first = next(case for case in cases(bundle) if case.request == JSON_CELL)
    broken = Peer("Broken", "broken", lambda python, *_: [str(python), "-c", code], {JSON_CELL: "/"})
    with (
        pytest.raises(RuntimeError, match=r"Broken: does not listen\nloading"),
        running.running(broken, bundle, first),
    ):
        pytest.fail("it never answers")
    left = Path(f"/proc/{child.read_text()}/stat")
    wait_until(lambda: not left.exists() or left.read_text().rpartition(")")[2].split()[0] == "Z")
