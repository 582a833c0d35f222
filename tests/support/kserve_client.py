"""KServe's own unmodified clients, against a running service; `test_kserve.py` starts it in their environment.

Usage: kserve_client.py HTTP_ADDRESS GRPC_ADDRESS MODEL ROWS.npz; the file has an array for each input. Prints the
responses as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}


def request(model: str, rows: dict[str, Any], *, binary: bool) -> InferRequest:
    tensors = []
    for name, array in rows.items():
        tensor = InferInput(name, list(array.shape), DATATYPES.get(array.dtype.name, "BYTES"))
        tensor.set_data_from_numpy(array.astype(object) if array.dtype.kind == "U" else array, binary_data=binary)
        tensors.append(tensor)
    return InferRequest(model_name=model, infer_inputs=tensors)


def outputs(response: Any) -> dict[str, Any]:
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def main(http: str, grpc: str, model: str, path: str) -> None:
    rows = dict(np.load(path))
    rest = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    found: dict[str, Any] = {
        "live": await rest.is_server_live(http),
        "ready": await rest.is_server_ready(http),
        "model_ready": await rest.is_model_ready(http, model),
        "rest_json": outputs(await rest.infer(http, request(model, rows, binary=False), model_name=model)),
        "rest_binary": outputs(await rest.infer(http, request(model, rows, binary=True), model_name=model)),
    }
    await rest.close()
    async with InferenceGRPCClient(grpc) as client:
        found["grpc_live"] = await client.is_server_live()
        found["grpc_ready"] = await client.is_server_ready()
        found["grpc_model_ready"] = await client.is_model_ready(model)
        found["grpc"] = outputs(await client.infer(request(model, rows, binary=True)))
        found["grpc_typed"] = outputs(await client.infer(request(model, rows, binary=False)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
