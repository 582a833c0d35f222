"""Routes of the Open Inference Protocol: the same data plane as `POST /score`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.answer import PIECE_BYTES, PiecewiseResponse, WholeResponse
from harmgauge.api.body.decode import named_type
from harmgauge.api.body.intake import HttpCall
from harmgauge.api.body.media import JSON, RAW
from harmgauge.api.body.steps import finish
from harmgauge.api.data_plane import DataPlane
from harmgauge.api.guard import only
from harmgauge.api.middleware import Handler
from harmgauge.api.v2 import messages, named_messages, tensors
from harmgauge.api.views import views_of
from harmgauge.auth.policy import PRINCIPAL, Authorizer, Permission, Principal
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.errors import UnknownMediaType, UnknownModel
from harmgauge.readiness import Readiness
from harmgauge.rollout.served import components_of

ROOT = "/v2"

_TAG = "Open Inference Protocol V2"

_HEADER_LENGTH = messages.HEADER_LENGTH.lower().encode()

INFER_ROUTE = f"{ROOT}/models/{{name}}/infer"
"""The name of the route in metrics."""


def infer_handler(plane: DataPlane) -> Handler:
    """Make the handler of inference requests for the served model."""

    async def infer(request: Request) -> Response:
        components = components_of(request)
        principal: Principal = request.scope[PRINCIPAL]
        manifest, views = components.bundle.manifest, views_of(components)
        offered, reader = views.outputs_for(principal), views.reader if components.bundle.manifest.is_named else None
        with HttpCall(plane, request, INFER_ROUTE) as call:
            _check_origin(call.headers)
            body = await call.body()
            header_length = call.headers.get(_HEADER_LENGTH)
            asked: messages.InferRequest[AnyRows]
            if reader is not None:
                steps = named_messages.reading(body, header_length, reader, offered, plane.max_rows)
                asked = await call.in_steps(steps) if reader.is_large(len(body), JSON) else finish(steps)
            elif messages.is_large(len(body), header_length):
                asked = await call.in_steps(messages.reading(body, header_length, manifest.input, offered))
            else:
                asked = messages.parse(body, header_length, manifest.input, offered)
            if asked.parameters:
                call.name(asked.parameters)
                call.limit(asked.timeout_seconds)
            most_bytes = messages.most_answer_bytes(len(asked.instances), asked, len(manifest.class_names))
            if most_bytes > PIECE_BYTES:  # checked before scoring: a later refusal would discard the scores
                call.hold(most_bytes)
            scored = await call.score(components.scorer, asked.instances)
            parts = manifest.name, manifest.version, asked, scored
            if most_bytes > PIECE_BYTES:
                pieces, headers = await call.answer_in_steps(messages.answering(*parts))
                return call.deliver(PiecewiseResponse(pieces, headers=headers))
        content, headers = messages.answer(*parts)
        return WholeResponse(content, headers)

    return infer


def _check_origin(headers: dict[bytes, str]) -> None:
    """Raises UnknownMediaType for a possible cross-site request from a browser that sent no preflight.

    Any client may omit the media type, as Triton's does. A browser also sends its page's origin, and every media type
    accepted here requires a preflight.
    """
    if b"origin" in headers:
        named = named_type(headers.get(b"content-type", ""))
        if named not in (JSON, RAW):
            raise UnknownMediaType(f"Content-Type {named!r} is not accepted from a browser; send application/json.")


def health_router(authorizer: Authorizer, readiness: Readiness) -> APIRouter:
    routes = APIRouter(prefix=f"{ROOT}/health", tags=[_TAG], dependencies=[only(authorizer, Permission.HEALTH)])

    @routes.head("/live", include_in_schema=False)
    @routes.get("/live", summary="Server live")
    async def live() -> dict[str, bool]:
        readiness.check_alive()
        return {"live": True}

    @routes.head("/ready", include_in_schema=False)
    @routes.get("/ready", summary="Server ready")
    async def ready() -> dict[str, bool]:
        readiness.check_ready()
        return {"ready": True}

    return routes


def router(authorizer: Authorizer, readiness: Readiness, infer: Handler) -> APIRouter:
    routes = APIRouter(prefix=ROOT, tags=[_TAG], dependencies=[only(authorizer, Permission.SCORES)])

    @routes.get("", summary="Server metadata")
    async def server() -> dict[str, Any]:
        return {"name": "harmgauge", "version": version("harmgauge"), "extensions": ["binary_tensor_data"]}

    @routes.get("/models/{name}", summary="Model metadata")
    @routes.get("/models/{name}/versions/{asked_version}", summary="Model metadata", include_in_schema=False)
    async def model(request: Request, name: str, asked_version: str | None = None) -> dict[str, Any]:
        components = components_of(request)
        check_served(components.bundle.manifest, name, asked_version)
        return metadata(components.bundle.manifest, views_of(components).outputs_for(request.scope[PRINCIPAL]))

    @routes.head("/models/{name}/ready", include_in_schema=False)
    @routes.get("/models/{name}/ready", summary="Model ready")
    @routes.get("/models/{name}/versions/{asked_version}/ready", summary="Model ready", include_in_schema=False)
    async def model_ready(request: Request, name: str, asked_version: str | None = None) -> dict[str, Any]:
        check_served(components_of(request).bundle.manifest, name, asked_version)
        readiness.check_ready()
        return {"name": name, "ready": True}

    @routes.post("/models/{name}/infer", summary="Score inputs", response_model=None)
    @routes.post("/models/{name}/versions/{asked_version}/infer", response_model=None, include_in_schema=False)
    async def infer_named(request: Request, name: str, asked_version: str | None = None) -> Response:
        check_served(components_of(request).bundle.manifest, name, asked_version)
        return await infer(request)

    return routes


def infer_paths(manifest: Manifest) -> list[str]:
    """Paths of the served model's inference requests: exact, so that they bypass the framework (`middleware.py`)."""
    model = f"{ROOT}/models/{manifest.name}"
    return [f"{model}/infer", f"{model}/versions/{manifest.version}/infer"]


def check_served(manifest: Manifest, name: str, version: str | None) -> None:
    """Raises UnknownModel for any other model or version; None and "" mean the served one."""
    if name != manifest.name:
        raise UnknownModel(f"Unknown model {name!r}; this service serves {manifest.name!r}.")
    if version not in (None, "", manifest.version):
        raise UnknownModel(f"Unknown version {version!r}; this service serves {manifest.version!r}.")


def metadata(manifest: Manifest, offered: list[tensors.OutputSpec]) -> dict[str, Any]:
    """Metadata of the model, the same over HTTP and gRPC."""
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {
                "name": found.name,
                "datatype": tensors.BYTES if found.is_text else tensors.DATATYPES[found.dtype],
                "shape": [-1, *(size or -1 for size in found.shape)],
            }
            for found in manifest.inputs
        ],
        "outputs": [
            {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)} for output in offered
        ],
    }
