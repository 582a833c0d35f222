"""State for operators: drift, metrics, health, the served bundle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Self

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.guard import only
from harmgauge.api.places import PlacedResponse, Places
from harmgauge.api.problems import refusals
from harmgauge.api.query import documented, read_flags
from harmgauge.api.shared import Shared
from harmgauge.api.views import views_of
from harmgauge.auth.policy import PRINCIPAL, Authorizer, Permission
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.signature import SignatureState
from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.detectable import Detectable
from harmgauge.drift.state import DriftState, State
from harmgauge.observe.bundle_metrics import CONTENT_TYPE
from harmgauge.readiness import Readiness
from harmgauge.rollout.served import components_of

JSON = "application/json"


class DetectorAnswer(BaseModel):
    """One drift detector; `p_value` and `statistic` are null until there is something to report.

    Some detectors have further fields: `highest`, `direction`, `design_effect` and `tolerance` for `score_evidence`,
    `highest`, `accuracy_drop` and `accuracy_limit` for `harm`, `rows_between_tests`, `tested_at` and `untested_rows`
    for `feature_mmd`; with `scores=true`, `score_ks` has the `scores` in its window, oldest first.
    """

    model_config = ConfigDict(extra="allow")

    state: State
    p_value: float | None
    log10_p_value: float | None = Field(description="Exact even if p_value is too small for a float64.")
    statistic: float | None
    threshold: float | None = Field(description="Alarm at or above this statistic; null if the p-value decides.")
    p_value_threshold: float | None = Field(
        description="Alarm at or below this p-value; null if the detector has none."
    )
    window_rows: int | None = Field(description="null if the detector has no window.")
    rows: int = Field(description="Rows in the window, or since the detector started if it has no window.")
    total_rows: int = Field(
        description="Rows since the detector started; polling clients can tell from it how many are new."
    )
    reference_rows: int
    rows_between_false_alarms: int
    since: datetime = Field(description="Start of the current `state`.")


Detectors = dict[str, DetectorAnswer]
"""Detectors by name."""


class ClassAccuracyAnswer(BaseModel):
    """Estimated accuracy on the rows for which the classifier predicts one class."""

    name: str = Field(serialization_alias="class", description="The predicted class.")
    accuracy: float
    rows: int


class AccuracyAnswer(BaseModel):
    """Estimate of the classifier's accuracy, without labels: 1 - the mean of `error_probability` over the window.

    It is too high for rows that are far from every disturbance that the bundle was calibrated on (for example, rotated
    or inverted images), and for attacks that the bundle does not detect.
    """

    estimate: float | None = Field(description="null before the first row.")
    lower: float | None = Field(
        description="90 % interval; null until there are 100 rows, or a full window if it is smaller."
    )
    upper: float | None
    base: float = Field(description="The classifier's accuracy on clean rows when the bundle was calibrated.")
    kappa: float = Field(description="Share of a drop in accuracy that the estimate misses.")
    rows: int = Field(description="Rows currently in the window.")
    window_rows: int
    classes: list[ClassAccuracyAnswer] = Field(
        description="By predicted class in the window; empty if the classifier has more than 100."
    )


class DriftAnswer(BaseModel):
    model: str
    version: str
    detectors: Detectors
    accuracy: AccuracyAnswer | None = Field(description="null if the bundle has no `error_probability`.")
    accuracy_missing: str | None = Field(description="Why there is no accuracy estimate; null if there is one.")


class JudgementAnswer(BaseModel):
    """Findings from when the bundle was built; parts that the bundle lacks are omitted."""

    sentence: str | None = Field(None, description="The judgement in words.")
    worth_serving: bool | None = Field(None, description="Whether the score is worth serving.")


class ErrorProbabilityAnswer(BaseModel):
    """Figures of `error_probability` from the rows that it was calibrated on."""

    base: float = Field(description="Mean over the clean rows.")
    kappa: float = Field(description="Share of a drop in accuracy that the mean misses.")
    rows: int = Field(description="Number of clean rows.")
    copies: int = Field(description="Number of disturbed copies of each clean row.")
    target: Literal["wrong", "changed"] = Field(
        description="The event predicted: a wrong prediction or, without labels, a changed one."
    )

    @classmethod
    def of(cls, bundle: Bundle) -> Self | None:
        """None if the bundle has no error probability."""
        found = bundle.error_probability
        return None if found is None else cls(**found.model_dump(include=set(cls.model_fields)))


class DetectableAnswer(BaseModel):
    """The limits of `score_evidence` with this reference, tolerance and rate of false alarms."""

    smallest_share: float | None = Field(
        description="Smallest share of harmful rows that raises the alarm within `horizon_rows`; null if there is none."
    )
    horizon_rows: int
    rows_at_10_percent: int | None = Field(
        description="Expected rows to the alarm if 10 % are harmful and score above all normal rows, otherwise up to "
        "2.5 times as many; null if it takes more than `horizon_rows`."
    )
    sentence: str = Field(description="The same in words.")
    warning: str | None = Field(description="If `smallest_share` is above 0.1: what would help; otherwise null.")

    @classmethod
    def of(cls, found: Detectable) -> Self:
        return cls(
            smallest_share=found.smallest_share,
            horizon_rows=found.horizon_rows,
            rows_at_10_percent=found.rows_at_common_share,
            sentence=found.sentence,
            warning=found.warning,
        )


class InfoAnswer(BaseModel):
    model: str
    version: str
    sha256: str = Field(description="sha256 of bundle.json, which lists the sha256 of every other file.")
    signature: SignatureState = Field(description="Whether bundle.json is signed, and verified with a public key.")
    files: dict[str, str] = Field(description="sha256 by file name.")
    detector: str = Field(
        description="How the score is computed; `entropy` is the entropy of the classifier's own answer."
    )
    detector_reason: str | None = Field(
        None,
        description="Why this detector, if the bundle gives a reason: for `entropy`, why there is no second network.",
    )
    score: dict[str, Any] = Field(description="Parameters of the score, from the bundle.")
    judgement: JudgementAnswer | None = Field(None, description="Whether the score is worth serving, if it was judged.")
    input: dict[str, Any] | None = Field(
        None, description="The input of a bundle with one array of numbers; absent for inputs by name."
    )
    inputs: list[dict[str, Any]] = Field(description="The inputs by name, with their columns, as in bundle.json.")
    tokenizer: bool = Field(False, description="Whether the bundle has a tokenizer, so that instances may be texts.")
    class_names: list[str]
    threshold: float | None = Field(None, description="Absent for keys that get flags only.")
    error_probability: ErrorProbabilityAnswer | None = Field(
        None, description="null if the bundle has none. Like the next two fields, absent for keys that get flags only."
    )
    detectable: DetectableAnswer | None = Field(None, description="What `score_evidence` can detect.")
    error_probability_reason: str | None = Field(
        None, description="Why there is no error probability; null if there is one."
    )
    precision: str
    providers: list[str] = Field(description="ONNX Runtime's execution providers in use.")
    workers: int = Field(description="Parallel inferences.")
    max_batch_rows: int
    max_queue_rows: int
    max_body_bytes: int
    max_image_pixels: int
    deadline_seconds: float
    capture: bool = Field(description="Whether flagged inputs are captured, with the ids of their requests.")

    def as_json(self, *, sees_scores: bool) -> bytes:
        """The JSON for a key. Fields without a value are omitted, except those that may be null."""
        if not sees_scores:
            hidden = {"threshold", "error_probability", "error_probability_reason", "detectable"}
            return self.model_dump_json(exclude_none=True, exclude=hidden).encode()
        document = self.model_dump(mode="json", exclude_none=True)
        for name in ("error_probability", "error_probability_reason"):
            document.setdefault(name, None)
        if self.detectable is not None:
            document["detectable"] = self.detectable.model_dump()
        return orjson.dumps(document)


def drift_router(authorizer: Authorizer, more_metrics: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """`more_metrics` returns the metrics to append to those of the bundle in service."""
    routes = APIRouter(tags=["drift"])
    of_drift, of_metrics = [only(authorizer, Permission.DRIFT)], [only(authorizer, Permission.METRICS)]

    shadow_metrics = Shared(more_metrics)
    places = Places()

    @routes.head("/drift", dependencies=of_drift, include_in_schema=False)
    @routes.get(
        "/drift",
        dependencies=of_drift,
        summary="State of every drift detector",
        response_model=DriftAnswer,
        responses=refusals(422),
        openapi_extra=documented(scores="Adds the scores in the windows."),
    )
    async def drift(request: Request) -> Response:
        looks = views_of(components_of(request)).looks
        if read_flags(request.scope["query_string"], ["scores"]).get("scores"):
            return PlacedResponse(places, looks.scores, media_type=JSON)
        return Response(await looks.drift.get(), media_type=JSON)

    @routes.head("/metrics", dependencies=of_metrics, include_in_schema=False)
    @routes.get(
        "/metrics",
        dependencies=of_metrics,
        summary="Metrics in the Prometheus text format",
        response_class=Response,
    )
    async def metrics_text(request: Request) -> Response:
        looks = views_of(components_of(request)).looks
        parts = await asyncio.gather(looks.metrics.get(), shadow_metrics.get())
        return Response(b"".join(parts), media_type=CONTENT_TYPE)

    return routes


def drift_answer(bundle: Bundle, states: Mapping[str, DriftState], accuracy: Accuracy | None) -> DriftAnswer:
    """The body of `GET /drift` for these states, without their scores."""
    return DriftAnswer(
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        detectors=detectors_answer(states),
        accuracy=accuracy_answer(accuracy),
        accuracy_missing=bundle.no_error_probability,
    )


def detectors_answer(states: Mapping[str, DriftState]) -> Detectors:
    """The detectors by name, without their scores."""
    return {name: _detector(state) for name, state in states.items()}


def accuracy_answer(accuracy: Accuracy | None) -> AccuracyAnswer | None:
    """The estimate of accuracy, if the bundle has one."""
    return None if accuracy is None else AccuracyAnswer.model_validate(accuracy, from_attributes=True)


def _detector(state: DriftState) -> DetectorAnswer:
    answer: dict[str, Any] = {name: getattr(state, name) for name in DetectorAnswer.model_fields}
    answer |= state.details
    return DetectorAnswer(**answer)


def health_router(authorizer: Authorizer, readiness: Readiness) -> APIRouter:
    routes = APIRouter(tags=["health"])
    free, of_info = [only(authorizer, Permission.HEALTH)], [only(authorizer, Permission.INFO)]

    @routes.head("/livez", dependencies=free, include_in_schema=False)
    @routes.get("/livez", dependencies=free, summary="Liveness: the process needs no restart", responses=refusals(503))
    async def livez() -> dict[str, str]:
        readiness.check_alive()
        return {"status": "alive"}

    @routes.head("/readyz", dependencies=free, include_in_schema=False)
    @routes.get(
        "/readyz", dependencies=free, summary="Readiness: the service accepts requests", responses=refusals(503)
    )
    async def readyz() -> dict[str, str]:
        readiness.check_ready()
        return {"status": "ready"}

    @routes.head("/info", dependencies=of_info, include_in_schema=False)
    @routes.get(
        "/info", dependencies=of_info, summary="The served bundle and the service's limits", response_model=InfoAnswer
    )
    async def about(request: Request) -> Response:
        looks = views_of(components_of(request)).looks
        info = looks.info if request.scope[PRINCIPAL].sees_scores else looks.flags_info
        return Response(info, media_type=JSON)

    return routes
