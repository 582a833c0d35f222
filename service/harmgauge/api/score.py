"""`POST /score`: scores instances."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.answer import (
    FRAME_BYTES,
    PIECE_VALUES,
    PiecewiseResponse,
    WholeResponse,
    json_pieces,
    most_json_bytes,
)
from harmgauge.api.body import decode
from harmgauge.api.body.decode import Parameters, ScoreRequest
from harmgauge.api.body.intake import HttpCall
from harmgauge.api.body.media import JSON
from harmgauge.api.body.steps import collect
from harmgauge.api.data_plane import DataPlane
from harmgauge.api.guard import only
from harmgauge.api.middleware import Handler
from harmgauge.api.problems import refusals
from harmgauge.api.query import documented, read_flags
from harmgauge.api.score_schema import request_body
from harmgauge.api.views import views_of
from harmgauge.auth.policy import PRINCIPAL, Authorizer, Permission, Principal
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec, Served
from harmgauge.errors import Forbidden, InvalidParameters
from harmgauge.inference.correction import Correction, correct
from harmgauge.rollout.served import COMPONENTS, Components

PATH = "/score"


class ScoreAnswer(BaseModel):
    """Results in the order of the instances."""

    model: str
    version: str
    threshold: float | None = Field(
        None,
        description="Inputs that score above it are flagged. Like `scores`, absent for keys that get flags only.",
    )
    scores: list[float] | None = Field(None, description="Higher means more harmful; `/info` names the detector.")
    error_probability: list[float] | None = Field(
        None,
        description="Probability that the prediction is wrong; on request, and not for keys that get flags only.",
    )
    is_adversarial: list[bool] = Field(description="score > threshold")
    predictions: list[int] = Field(description="Index of the classifier's most likely class.")
    probabilities: list[list[float]] | None = Field(None, description="Class probabilities, on request.")
    corrected: list[int] | None = Field(
        None,
        description="`defense` if the instance is flagged, otherwise `no_defense`; all three on request.",
    )
    no_defense: list[int] | None = Field(None, description="The classifier's prediction for the instance.")
    defense: list[int] | None = Field(
        None, description="The classifier's prediction for the autoencoder's reconstruction."
    )
    corrected_probabilities: list[list[float]] | None = Field(
        None, description="Only with `probabilities` and `correct`."
    )
    defense_probabilities: list[list[float]] | None = Field(
        None, description="Only with `probabilities` and `correct`."
    )


LISTED_ROWS = 64
"""Up to this many numbers are written faster from a list than from an array."""

FEW_ROWS = 4000
"""A response with up to this many rows, without probabilities, is small (PIECE_BYTES)."""


def handler(plane: DataPlane) -> Handler:
    """Make the handler of `POST /score`."""

    async def score(request: Request) -> Response:
        scope = request.scope
        principal: Principal = scope[PRINCIPAL]
        components: Components = scope[COMPONENTS]
        manifest = components.bundle.manifest
        served = manifest.served
        # Only inputs by name or by column have a reader.
        reader = None if isinstance(served, InputSpec) and served.columns is None else views_of(components).reader
        with HttpCall(plane, request, PATH) as call:
            body = await call.body()
            media_type = decode.media_type(call.headers.get(b"content-type", ""), served)
            query = read_flags(scope["query_string"], decode.PARAMETERS) if scope["query_string"] else {}
            asked: ScoreRequest[AnyRows] | ScoreRequest[Rows]
            if reader is not None and reader.takes(body, media_type):
                asked = await decode.read_named(call, body, media_type, query, reader)
            elif decode.is_large(len(body), media_type, manifest.input):
                asked = await decode.read_large(call, body, media_type, query, manifest.input)
            else:
                asked = decode.read(body, media_type, query, manifest.input)
            if asked.parameters.correct and not components.corrects:
                raise InvalidParameters(
                    f"The bundle {manifest.name}/{manifest.version} offers no correction: leave 'correct' out, or "
                    "serve a bundle built with --detector adversarial-autoencoder."
                )
            if asked.parameters.probabilities and not principal.sees_scores:
                raise Forbidden("This key gets flags only: leave 'probabilities' out.")
            if asked.parameters.error_probability:
                _check_error_probability(components.bundle, principal)
            is_large = len(asked.instances) > FEW_ROWS or asked.parameters.probabilities
            if is_large:  # checked before scoring: a later refusal would discard the scores
                call.hold(most_answer_bytes(len(asked.instances), len(manifest.class_names), asked.parameters))
            scored = await call.score(components.scorer, asked.instances)
            answer: dict[str, Any] = {"model": manifest.name, "version": manifest.version}
            if principal.sees_scores:
                answer["threshold"] = components.threshold
                # As float64: a client sees the exact numbers that enter the window, and can reproduce every comparison.
                answer["scores"] = _numbers(scored.scores)
                if asked.parameters.error_probability and scored.error_probability is not None:
                    answer["error_probability"] = _numbers(scored.error_probability)  # as for the scores
            answer["is_adversarial"] = _numbers(scored.is_adversarial)
            answer["predictions"] = _numbers(scored.predictions)
            if asked.parameters.probabilities:
                answer["probabilities"] = scored.probabilities
            if asked.parameters.correct:
                answer |= _correction(correct(scored), with_probabilities=asked.parameters.probabilities)
            if is_large and scored.probabilities.size > PIECE_VALUES:
                pieces = await call.answer_in_steps(collect(json_pieces(answer)))
                return call.deliver(PiecewiseResponse(pieces, media_type=JSON))
        return WholeResponse(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), {"Content-Type": JSON})

    return score


def _numbers(array: npt.NDArray[Any]) -> list[Any] | npt.NDArray[Any]:
    """Numbers (n,) for JSON; floats as float64."""
    if len(array) <= LISTED_ROWS:
        found: list[Any] = array.tolist()
        return found
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def most_answer_bytes(rows: int, classes: int, parameters: Parameters) -> int:
    """Upper bound on the bytes of a response to this many instances."""
    return FRAME_BYTES + rows * _most_row_bytes(classes, parameters)


@lru_cache(maxsize=64)
def _most_row_bytes(classes: int, parameters: Parameters) -> int:
    columns = [("float64", 1), ("bool", 1), ("int64", 1)]
    if parameters.error_probability:
        columns += [("float64", 1)]
    if parameters.correct:
        columns += [("int64", 1)] * 3
    if parameters.probabilities:
        columns += [("float32", classes)] * (3 if parameters.correct else 1)
    return most_json_bytes(1, columns)


def router(authorizer: Authorizer, served: Served, score: Handler) -> APIRouter:
    """The route for the OpenAPI page; actual traffic bypasses the framework (`middleware.py`)."""
    routes = APIRouter(tags=["score"], dependencies=[only(authorizer, Permission.SCORES)])
    routes.post(
        PATH,
        response_model=ScoreAnswer,
        response_model_exclude_none=True,
        summary="Score inputs",
        responses=refusals(400, 401, 403, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra={
            "requestBody": request_body(served),
            **documented(
                probabilities="Same as the JSON parameter, for bodies in other formats.",
                correct="Same as the JSON parameter, for bodies in other formats.",
                error_probability="Same as the JSON parameter, for bodies in other formats.",
            ),
        },
    )(score)
    return routes


def _check_error_probability(bundle: Bundle, principal: Principal) -> None:
    """Raises Forbidden or InvalidParameters if the key may not have the error probability or the bundle has none."""
    if not principal.sees_scores:
        raise Forbidden("This key gets flags only: leave 'error_probability' out.")
    if (reason := bundle.no_error_probability) is not None:
        manifest = bundle.manifest
        raise InvalidParameters(
            f"The bundle {manifest.name}/{manifest.version} offers no error probability ({reason}): leave "
            "'error_probability' out, or serve a bundle that has it; harmgauge calibrate adds it to most bundles."
        )


def _correction(correction: Correction, *, with_probabilities: bool) -> dict[str, Any]:
    names = ["corrected", "no_defense", "defense"]
    if with_probabilities:
        names += ["corrected_probabilities", "defense_probabilities"]  # without defense: `probabilities`
    return {name: getattr(correction, name) for name in names}
