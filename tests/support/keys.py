"""A key of each kind, and requests with them."""

from __future__ import annotations

from typing import Any

import httpx

from harmgauge.auth.keys import new_key
from tests.support.process import RunningService
from tests.support.toy import instances

SHAPE = (4, 4, 3)
ROWS = instances(3, SHAPE)
API, METRICS, ADMIN = (new_key(name) for name in ("shop", "prometheus", "operator"))
V2 = {
    "inputs": [{"name": "input", "shape": [3, *SHAPE], "datatype": "UINT8", "data": ROWS.reshape(-1).tolist()}],
}


def settings(**more: object) -> dict[str, object]:
    return {"api_keys": API[1], "metrics_keys": METRICS[1], "admin_keys": ADMIN[1], **more}


def ask(service: RunningService, method: str, path: str, key: str | None, **more: Any) -> httpx.Response:
    headers = dict(more.pop("headers", {})) | ({} if key is None else {"Authorization": f"Bearer {key}"})
    return service.client.request(method, path, headers=headers, **more)


def rejected(service: RunningService, reason: str) -> float:
    answer = ask(service, "GET", "/metrics", METRICS[0]).text
    (line,) = (line for line in answer.splitlines() if f'rejected_total{{model="toy",reason="{reason}"' in line)
    return float(line.split()[-1])
