"""ModelInfer: the same data plane as `POST /score`."""

from __future__ import annotations

from harmgauge.api.body.named.reader import LOOP_TEXT_BYTES
from harmgauge.api.body.steps import finish, one_step
from harmgauge.api.data_plane import THREAD_BODY_BYTES, DataPlane
from harmgauge.api.data_plane import Call as ScoreCall
from harmgauge.api.grpc import INFER_ROUTE, messages
from harmgauge.api.grpc.call import GrpcCall, Work
from harmgauge.api.views import views_of
from harmgauge.auth.names import CLIENT, SOURCE
from harmgauge.auth.policy import Principal
from harmgauge.inference.caller import Origin, Progress
from harmgauge.rollout.served import ServedBundle


def infer(plane: DataPlane) -> Work:
    """Make the handler of ModelInfer calls. It holds the bytes of call and response until the client has taken the
    response or left.
    """

    async def work(call: GrpcCall, serving: ServedBundle, principal: Principal, progress: Progress | None) -> bytes:
        manifest = serving.bundle.manifest
        views = views_of(serving.components)
        offered = views.outputs_for(principal)
        scoring = ScoreCall(
            plane,
            principal,
            Origin(call.request_id, INFER_ROUTE, principal.name),
            call.context.cancelled,
            progress,
            connection=call.connection,
            seconds=call.seconds,
            client=call.named(CLIENT.lower()),
            source=call.named(SOURCE.lower()),
        )
        call.when_done(scoring.release)
        sent = await call.message(principal)
        scoring.hold(len(sent))
        if principal.rate_limit is not None:
            principal.rate_limit.take_bytes(len(sent))
        steps = messages.reading(sent, manifest, offered, views.reader, plane.max_rows)
        threshold_bytes = LOOP_TEXT_BYTES if views.reader is not None and views.reader.texts else THREAD_BODY_BYTES
        asked = await scoring.in_steps(steps) if len(sent) > threshold_bytes else finish(steps)
        if asked.parameters:
            scoring.name(asked.parameters)
            scoring.limit(asked.timeout_seconds)
        answer_bytes = messages.answer_bytes(asked, offered)
        scoring.hold(answer_bytes)  # refused before it costs inference time
        scored = await scoring.score(serving.components.scorer, asked.instances)
        if answer_bytes > THREAD_BODY_BYTES:
            answer = await scoring.answer_in_steps(one_step(messages.answer, manifest, asked, scored))
        else:
            answer = messages.answer(manifest, asked, scored)
        scoring.shrink(len(answer))
        return answer

    return work
