"""The graph in BentoML: two worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from tests.bench.peers.apps.graph import Graph, Rows


@bentoml.service(workers=2)
class Score:
    def __init__(self) -> None:
        self.graph = Graph()

    @bentoml.api(route="/json")
    def json(self, instances: Rows) -> dict[str, Any]:
        return self.graph.answer(instances)

    @bentoml.api(route="/raw")
    def raw(self, body: Annotated[Path, ContentType("application/octet-stream")], /) -> dict[str, Any]:
        return self.graph.answer(self.graph.from_raw(body.read_bytes()))
