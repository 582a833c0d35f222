"""The calls of `/admin/shadow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.support.forking import served
from tests.support.process import RunningService
from tests.support.swapping import BEARER

PATH = "/admin/shadow"


def load_shadow(service: RunningService, folder: Path) -> httpx.Response:
    answer = service.client.post(PATH, json={"folder": str(folder)}, headers=BEARER)
    if answer.status_code == 200:
        served(folder)
    return answer


def look(service: RunningService) -> dict[str, Any]:
    answer = service.client.get(PATH, headers=BEARER)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def promote(service: RunningService) -> httpx.Response:
    return service.client.post(f"{PATH}/promote", headers=BEARER)
