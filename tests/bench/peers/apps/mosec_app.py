"""The graph in mosec: two worker processes behind its server in Rust.

JSON and raw bytes have a route and two workers each, because a worker does not see the request's head.
"""

from __future__ import annotations

import json
from typing import Any

from mosec import Runtime, Server, Worker

from tests.bench.peers.apps.graph import Graph, Rows

WORKERS = 2


class Score(Worker):
    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()

    def forward(self, data: Rows) -> dict[str, Any]:
        return self.graph.answer(data)


class ScoreJson(Score):
    def deserialize(self, data: bytes) -> Rows:
        return self.graph.from_json(json.loads(data))


class ScoreRaw(Score):
    def deserialize(self, data: bytes) -> Rows:
        return self.graph.from_raw(data)


if __name__ == "__main__":
    server = Server()
    server.register_runtime({"/json": [Runtime(ScoreJson, num=WORKERS)], "/raw": [Runtime(ScoreRaw, num=WORKERS)]})
    server.run()
