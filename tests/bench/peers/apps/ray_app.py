"""The graph in Ray Serve: two replicas behind its HTTP proxy."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from tests.bench.peers.apps.graph import Graph


class Score:
    def __init__(self) -> None:
        self.graph = Graph()

    async def __call__(self, request: Request) -> dict[str, Any]:
        body = await request.body()
        is_raw = request.headers["content-type"] == "application/octet-stream"
        return self.graph.answer(self.graph.from_raw(body) if is_raw else self.graph.from_json(json.loads(body)))


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.5})(Score).bind())
    signal.sigwait({signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()
