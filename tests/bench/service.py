"""The service under test: waiting until it is idle, and its own count of rows."""

from __future__ import annotations

import time

from tests.support.process import RunningService, wait_until


def settle(service: RunningService) -> None:
    """Wait until the service has recovered from the last load."""
    wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] == 0, timeout_seconds=60)
    time.sleep(0.2)


def scored_rows(service: RunningService) -> int:
    """The number of rows that it has run since its start."""
    return round(sum(count for _, count in service.metrics()["harmgauge_instances_total"]))
