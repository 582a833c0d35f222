"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from harmgauge.auth.policy import Authorizer
from harmgauge.errors import InvalidParameters, RequestError, clipped

MEDIA_TYPE = "application/problem+json"

CODE = "harmgauge.code"
"""Key in a request's scope for the code of the problem that was sent in response."""


class Problem(BaseModel):
    """Body of every failed request; `code` is stable, `detail` explains the problem and its remedy."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


Responses = dict[int | str, dict[str, Any]]
"""Responses of a route by status, as FastAPI expects them for the OpenAPI document."""

_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
"""FastAPI's own `model` would describe it as plain JSON as well."""

RESPONSES: Responses = {"default": {"description": "Problem details", "content": _CONTENT}}
"""For the OpenAPI document: the form of every error response."""


def refusals(*statuses: int) -> Responses:
    """A route's specific error responses, by status."""
    return {status: {"description": HTTPStatus(status).phrase, "content": _CONTENT} for status in statuses}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schema of problems."""
    found = app.openapi()
    found.setdefault("components", {}).setdefault("schemas", {})[Problem.__name__] = Problem.model_json_schema()
    return found


def problem(
    scope: Scope, *, status: int, code: str, title: str, detail: str, headers: dict[str, str] | None = None
) -> Response:
    scope[CODE] = code
    document = {
        "type": f"urn:harmgauge:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": scope["request_id"],
    }
    if scope["path"].startswith("/v2"):
        document["error"] = detail  # read by clients of the V2 protocol
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def from_error(error: RequestError, scope: Scope) -> Response:
    headers = dict(error.headers)
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.closes:
        headers["Connection"] = "close"
    return problem(scope, status=error.status, code=error.code, title=error.title, detail=error.detail, headers=headers)


def install(app: FastAPI, authorizer: Authorizer) -> None:
    """Give the framework's own errors (no such route, wrong method, bad query) the same form.

    Only a key that may score learns that a route does not exist.
    """

    async def from_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        authorizer.check_unrouted(request.scope)
        title = HTTPStatus(error.status_code).phrase
        code = title.lower().replace(" ", "_")
        return problem(
            request.scope,
            status=error.status_code,
            code=code,
            title=title,
            detail=clipped(f"{request.method} {request.scope['path']}: {title.lower()}; /docs lists the routes."),
            headers=dict(error.headers or {}),
        )

    async def from_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return from_error(InvalidParameters(f"{where}: {first['msg']}."), request.scope)

    app.add_exception_handler(HTTPException, from_framework)
    app.add_exception_handler(RequestValidationError, from_validation)
