"""Bundles that replace each other repeatedly under load: no request is lost, and no resources remain."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from harmgauge.assembly import TRAFFIC
from tests.conftest import SHIPPED_BUNDLE
from tests.support.bundles import edit
from tests.support.process import fresh_service, running_service, wait_until
from tests.support.swapping import KEY_LINE, asking, swap
from tests.support.toy import instances


def test_a_hundred_swaps_under_load_lose_and_mix_nothing(
    bundles: tuple[Path, Path], expected: dict[str, Any], tmp_path: Path
) -> None:
    with running_service(bundles[0], admin_keys=KEY_LINE, grpc_port=0, state_dir=tmp_path / "state") as service:
        with asking(service, expected) as clients:
            for number in range(100):
                answer = swap(service, bundles[(number + 1) % 2])
                assert answer.status_code == 200, answer.text
                assert answer.json()["status"] == "swapped"
        answered = {name: sum(client.answered[name] for client in clients) for name in ("1", "2")}
        assert min(answered.values()) > 100, answered
        requests = service.metrics()["harmgauge_requests_total"]
        counted = {labels["status"] for labels, _ in requests if labels["route"] in TRAFFIC}
        assert counted == {"200", "OK"}
        assert sum(value for labels, value in requests if labels["route"] in TRAFFIC) == sum(answered.values())
        assert not service.said("Traceback")
        assert not service.said("ERROR")


def test_swaps_leave_nothing_behind(tmp_path: Path) -> None:
    """With the shipped bundle, each swap could leave some 15 MiB, two threads and a hundred series."""
    versions = [tmp_path / "2", tmp_path / "3"]
    for folder in versions:
        shutil.copytree(SHIPPED_BUNDLE, folder)
    edit(versions[1], lambda manifest: manifest.update(version="3"))
    rows = instances(4, (32, 32, 3))
    with fresh_service(versions[0], admin_keys=KEY_LINE, state_dir=tmp_path / "state") as service:

        def cycle(times: int) -> None:
            for _ in range(times):
                for folder in reversed(versions):
                    service.score(rows)
                    assert swap(service, folder).json()["status"] == "swapped"
            service.score(rows)

        def status(name: str) -> int:
            text = Path(f"/proc/{service.process.pid}/status").read_text()
            return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])

        def open_files() -> int:
            return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))

        def series() -> int:
            return sum(len(samples) for samples in service.metrics().values())

        cycle(4)  # threads of the pools, and memory that malloc keeps
        threads, files, names = status("Threads"), open_files(), series()
        rss_kilobytes = status("VmRSS")
        cycle(10)
        wait_until(lambda: status("Threads") < threads + 10 and open_files() <= files + 2 and series() < names + 20)
        wait_until(lambda: status("VmRSS") < rss_kilobytes + 50 * 1024)
