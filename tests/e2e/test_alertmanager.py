"""From an input to the person on call: service, Prometheus, Alertmanager and a webhook, all of them real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.http_servers import listening
from tests.support.process import RAW, running_service, wait_until
from tests.support.prometheus import RULES, running_alertmanager, running_prometheus


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address on loopback, and the alerts sent to it."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with listening(Receiver) as url:
        yield f"{url}/", received


def test_an_input_that_overflows_the_graph_reaches_whoever_is_on_call(vector_bundle_path: Path, tmp_path: Path) -> None:
    overflowing = np.full((1, 5), 3e38, np.float32)
    with (
        webhook() as (url, received),
        running_alertmanager(tmp_path, url) as alertmanager,
        running_service(vector_bundle_path, workers=1) as service,
        running_prometheus(tmp_path, RULES, [service.port], alertmanager) as prometheus,
    ):
        # A scrape sees 0 before one sees 1, so the first increase of the counter is visible.
        wait_until(lambda: prometheus.value('harmgauge_rejected_total{reason="non_finite_score"}') == 0, 30)
        assert received == []
        answer = service.client.post("/score", content=overflowing.tobytes(), headers=RAW)
        assert (answer.status_code, answer.json()["code"]) == (500, "non_finite_score")
        wait_until(lambda: received, 60)
    (alert,) = received
    assert alert["status"] == "firing"
    assert alert["labels"] == {
        "alertname": "HarmgaugeNonFiniteScores",
        "job": "harmgauge",
        "model": "toy",
        "severity": "warning",
    }
    assert alert["annotations"]["runbook_url"] == "docs/runbook.md#harmgaugenonfinitescores"
