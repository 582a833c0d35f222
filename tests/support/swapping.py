"""Helpers for the tests of swaps: the inputs, the admin call, and clients that check each response."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc
from tritonclient.grpc import InferInput, InferRequestedOutput

from harmgauge.auth.keys import new_key
from tests.support.forking import served
from tests.support.process import NO_TLS, RAW, RunningService, grpc_port
from tests.support.toy import instances

SHAPE = (4, 4, 3)
KEY, KEY_LINE = new_key("operator")
BEARER = {"Authorization": f"Bearer {KEY}"}
POOL = instances(200, SHAPE, seed=5)
PAUSE_SECONDS = 0.03
"""Between an answer and the client's next request: enough are in flight at any moment, and the swaps get a core."""


def swap(service: RunningService, folder: Path | None = None) -> httpx.Response:
    body = {} if folder is None else {"folder": str(folder)}
    answer = service.client.post("/admin/bundle", json=body, headers=BEARER)
    if folder is not None and answer.status_code == 200:
        served(folder)
    return answer


@contextmanager
def asking(service: RunningService, expected: dict[str, Any], count: int = 6) -> Iterator[list[Client]]:
    """Clients that send requests all the time; fails if any response is wrong."""
    stop = threading.Event()
    clients = [Client(service.port, grpc_port(service), expected, seed, stop) for seed in range(count)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert [wrong for client in clients for wrong in client.wrong] == []


@dataclass
class Client(threading.Thread):
    """Sends requests with inputs from the pool, in various forms, one after another; records every wrong response."""

    port: int
    grpc_port: int
    expected: dict[str, Any]
    seed: int
    stop: threading.Event
    wrong: list[str] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=lambda: {"1": 0, "2": 0})

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        random = np.random.default_rng(self.seed)
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, verify=NO_TLS) as client,
            tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self.grpc_port}") as grpc_client,
        ):
            ask: Callable[[Any], tuple[str, Any]] = (
                partial(self._score, client),
                partial(self._infer, client),
                partial(self._infer_grpc, grpc_client),
            )[self.seed % 3]
            while not self.stop.wait(PAUSE_SECONDS):
                chosen = random.choice(len(POOL), size=random.integers(1, 6), replace=False)
                try:
                    self._check(chosen, *ask(chosen))
                except Exception as error:
                    self.wrong.append(repr(error))

    def _score(self, client: httpx.Client, chosen: Any) -> tuple[str, list[float]]:
        answer = client.post("/score", content=POOL[chosen].tobytes(), headers=RAW)
        answer.raise_for_status()
        return answer.json()["version"], answer.json()["scores"]

    def _infer(self, client: httpx.Client, chosen: Any) -> tuple[str, list[float]]:
        tensor = {"name": "input", "datatype": "UINT8", "shape": [len(chosen), *SHAPE], "data": POOL[chosen].tolist()}
        answer = client.post("/v2/models/toy/infer", json={"inputs": [tensor], "outputs": [{"name": "score"}]})
        answer.raise_for_status()
        return answer.json()["model_version"], answer.json()["outputs"][0]["data"]

    def _infer_grpc(self, client: Any, chosen: Any) -> tuple[str, Any]:
        rows = InferInput("input", [len(chosen), *SHAPE], "UINT8")
        rows.set_data_from_numpy(POOL[chosen])
        answer = client.infer("toy", [rows], outputs=[InferRequestedOutput("score")])
        return answer.get_response().model_version, answer.as_numpy("score")

    def _check(self, chosen: Any, version: str, scores: Any) -> None:
        if not np.allclose(scores, self.expected[version][chosen], rtol=1e-4, atol=1e-6):
            self.wrong.append(f"version {version}, inputs {chosen}: {scores}")
        self.answered[version] += 1
