"""Routes of the Open Inference Protocol: the same data plane as `POST /score`."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.receive import Intake
from service.api.score import THREAD_BODY_BYTES
from service.api.v2 import messages, tensors
from service.errors import UnknownModel
from service.inference.bundle import Manifest
from service.inference.detector import Detector
from service.readiness import Readiness

ROOT = "/v2"


def router(manifest: Manifest, detector: Detector, readiness: Readiness, intake: Intake) -> APIRouter:
    routes = APIRouter(prefix=ROOT, tags=["Open Inference Protocol V2"])
    offered = tensors.outputs(len(manifest.class_names))
    metadata = _metadata(manifest, offered)

    def check_model(name: str, asked_version: str | None) -> None:
        if name != manifest.name:
            raise UnknownModel(f"There is no model {name!r}; {manifest.name!r} is served.")
        if asked_version not in (None, manifest.version):
            raise UnknownModel(f"There is no version {asked_version!r}; {manifest.version!r} is served.")

    @routes.get("", summary="Server metadata")
    async def server() -> dict[str, Any]:
        return {"name": "harmgauge", "version": version("harmgauge"), "extensions": ["binary_tensor_data"]}

    @routes.get("/health/live", summary="Server live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/health/ready", summary="Server ready")
    async def ready() -> dict[str, bool]:
        readiness.check()
        return {"ready": True}

    @routes.get("/models/{name}", summary="Model metadata")
    @routes.get("/models/{name}/versions/{asked_version}", summary="Model metadata", include_in_schema=False)
    async def model(name: str, asked_version: str | None = None) -> dict[str, Any]:
        check_model(name, asked_version)
        return metadata

    @routes.get("/models/{name}/ready", summary="Model ready")
    @routes.get("/models/{name}/versions/{asked_version}/ready", summary="Model ready", include_in_schema=False)
    async def model_ready(name: str, asked_version: str | None = None) -> dict[str, Any]:
        check_model(name, asked_version)
        readiness.check()
        return {"name": manifest.name, "ready": True}

    @routes.post("/models/{name}/infer", summary="Score inputs", response_model=None)
    @routes.post("/models/{name}/versions/{asked_version}/infer", response_model=None, include_in_schema=False)
    async def infer(request: Request, name: str, asked_version: str | None = None) -> Response:
        check_model(name, asked_version)
        body = await intake.body(request)
        arguments = (body, request.headers.get(messages.HEADER_LENGTH), manifest.input, offered)
        if len(body) > THREAD_BODY_BYTES:
            asked = await asyncio.to_thread(messages.parse, *arguments)
        else:
            asked = messages.parse(*arguments)
        scored = await detector.score(asked.instances)
        content, headers = messages.answer(manifest.name, manifest.version, asked, scored)
        return Response(content, headers=headers)

    return routes


def _metadata(manifest: Manifest, offered: list[tensors.OutputSpec]) -> dict[str, Any]:
    spec = manifest.input
    datatype = tensors.DATATYPES[spec.dtype]
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": tensors.INPUT, "datatype": datatype, "shape": [-1, *spec.shape]}],
        "outputs": [
            {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)} for output in offered
        ],
    }
