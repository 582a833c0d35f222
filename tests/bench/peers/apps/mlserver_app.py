"""The graph in MLServer: one process (`parallel_workers` 0) with two inference threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from tests.bench.peers.apps.graph import Graph


class Score(MLModel):
    async def load(self) -> bool:
        self.graph = Graph()
        self.threads = ThreadPoolExecutor(2)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.uint8, copy=False)
        scores, _ = await asyncio.get_running_loop().run_in_executor(self.threads, self.graph.run, rows)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])
