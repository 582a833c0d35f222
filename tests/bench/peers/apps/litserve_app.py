"""The graph in LitServe: two inference workers, and as many HTTP servers as LitServe starts for them."""

from __future__ import annotations

import sys
from typing import Any

import litserve

from tests.bench.peers.apps.graph import Graph, Rows


class Score(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.graph = Graph()

    # LitServe passes the parsed JSON if there is no annotation, and asks FastAPI to parse it otherwise.
    def decode_request(self, request) -> Rows:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return self.graph.from_json(request)

    def predict(self, rows: Rows) -> dict[str, Any]:
        return self.graph.answer(rows)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Score(api_path="/json"), accelerator="cpu", devices=1, workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
