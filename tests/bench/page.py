"""`python -m tests.bench.page`: the CPU time and memory that the live page costs the service."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from harmgauge.api.assets import read_assets
from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from harmgauge.page.routes import EMBEDDING_SECONDS, FOLDER, STATE_SECONDS
from tests.bench.options import BUNDLE
from tests.bench.proc import cpu_time, resident_mib
from tests.support.process import RunningService, fresh_service

POLLS = 2000
IDLE_SECONDS = 60.0


def cost(service: RunningService, work: Callable[[], object], times: int) -> float:
    """Milliseconds of the service's CPU time per call."""
    before = cpu_time(service.process.pid).seconds
    for _ in range(times):
        work()
    return (cpu_time(service.process.pid).seconds - before) * 1000 / times


def main() -> int:
    say = sys.stdout.write
    assets = read_assets(FOLDER).values()
    say(
        f"files: {sum(len(asset.body) for asset in assets)} bytes, "
        f"{sum(len(asset.packed) for asset in assets)} as they travel\n"
    )
    images = read_samples(load(BUNDLE)).clean
    drawn = np.random.default_rng(0).integers(0, len(images), 2000)
    for page in ("false", "true"):
        with fresh_service(BUNDLE, page=page) as service:
            resident = resident_mib(service.process.pid)
            for index in drawn:
                service.score(images[index])
            time.sleep(5)
            idle = cost(service, lambda: time.sleep(IDLE_SECONDS), 1)
            say(f"page={page}: {resident:.1f} MiB at rest; {idle:.0f} ms of CPU in {IDLE_SECONDS:.0f} s of rest\n")
            if page == "false":
                continue
            for path, seconds in (
                ("state", STATE_SECONDS),
                ("history", STATE_SECONDS),
                ("embedding", EMBEDDING_SECONDS),
            ):

                def poll(path: str = path) -> int:
                    return len(service.client.get(f"/page/{path}").content)

                def renewed(path: str = path, seconds: float = seconds) -> None:
                    service.score(images[:1])
                    time.sleep(seconds)
                    poll(path)

                poll()
                kept, made = cost(service, poll, POLLS), cost(service, renewed, 10)
                say(f"/page/{path}: {poll()} bytes, {kept:.2f} ms of CPU per poll, {made:.1f} ms if it is made anew\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
