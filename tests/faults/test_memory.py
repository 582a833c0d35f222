"""Little memory left: requests are rejected, the process survives, and serves again once memory is free."""

from __future__ import annotations

import resource
import threading
from contextlib import suppress
from pathlib import Path

import httpx

from tests.support.clients import counted
from tests.support.own_value import row
from tests.support.process import NO_TLS, RAW, fresh_service, wait_until
from tests.support.steady import Held, assert_well

MEBIBYTE = 2**20


def test_bodies_that_do_not_fit_are_refused(own_bundle: Path) -> None:
    limits = {"max_body_bytes": 64 * MEBIBYTE, "max_queue_rows": 10_000_000, "feature_mmd": False}
    with fresh_service(own_bundle, **limits) as service:
        for number in range(20):
            assert service.score(row(number))["scores"] == [number]
        service.client.post("/score", content=bytes(8 * MEBIBYTE), headers=RAW)
        before, pid = Held.by(service), service.process.pid
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        size_kibibytes = int(next(line for line in status if line.startswith("VmSize")).split()[1])
        old = resource.getrlimit(resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size_kibibytes * 1024 + 40 * MEBIBYTE, old[1]))
        statuses: list[int] = []

        def post() -> None:
            with suppress(httpx.TransportError):
                answer = httpx.post(
                    f"{service.client.base_url}/score",
                    content=bytes(60 * MEBIBYTE),
                    headers=RAW,
                    timeout=60,
                    verify=NO_TLS,
                )
                statuses.append(answer.status_code)

        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert service.process.poll() is None
        assert statuses, "each is told"
        assert set(statuses) <= {503, 429}, statuses
        wait_until(lambda: service.client.get("/livez").status_code == 200)
        for number in range(20):
            assert service.score(row(number))["scores"] == [number]
        resource.prlimit(pid, resource.RLIMIT_AS, old)
        assert_well(service, before)
        # 499: rejected by the parser, while the service still waited for the rest of the body
        assert sum(counted(service)[status] for status in ("503", "429", "499")) >= len(statuses)
