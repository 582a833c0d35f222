"""KServe's own unmodified clients, against a running service; `test_kserve.py` starts it in their environment.

Usage: kserve_client.py HTTP_ADDRESS GRPC_ADDRESS ROWS.npy; prints the responses as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


def request(rows: Any, *, binary: bool) -> InferRequest:
    tensor = InferInput("input", list(rows.shape), "UINT8")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(model_name="toy", infer_inputs=[tensor])


def outputs(response: Any) -> dict[str, Any]:
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def main(http: str, grpc: str, path: str) -> None:
    rows = np.load(path)
    rest = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    found: dict[str, Any] = {
        "live": await rest.is_server_live(http),
        "ready": await rest.is_server_ready(http),
        "model_ready": await rest.is_model_ready(http, "toy"),
        "rest_json": outputs(await rest.infer(http, request(rows, binary=False), model_name="toy")),
        "rest_binary": outputs(await rest.infer(http, request(rows, binary=True), model_name="toy")),
    }
    await rest.close()
    async with InferenceGRPCClient(grpc) as client:
        found["grpc_live"] = await client.is_server_live()
        found["grpc_ready"] = await client.is_server_ready()
        found["grpc_model_ready"] = await client.is_model_ready("toy")
        found["grpc"] = outputs(await client.infer(request(rows, binary=True)))
        found["grpc_typed"] = outputs(await client.infer(request(rows, binary=False)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
