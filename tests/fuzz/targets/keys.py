"""Whole requests to a service with keys: only a real key gives access."""

from __future__ import annotations

from functools import lru_cache

from pydantic import SecretStr

from harmgauge.auth.keys import digest
from tests.fuzz.target import Target
from tests.fuzz.targets.asgi import InProcess, check_answer, mutate
from tests.fuzz.targets.requests import look_requests, score_requests

_KEY = "hg_fuzz"
_FREE = (b"/livez", b"/readyz", b"/v2/health/", b"/page/", b"/docs", b"/openapi.json", b"/ ", b"/\n", b"/?", b"/#")


@lru_cache(maxsize=1)
def _service() -> InProcess:
    line = f"fuzz:{digest(_KEY.encode()).hex()}"
    return InProcess(api_keys=(SecretStr(line),), flags_only=True, rows_per_second_per_key=1e9)


def check(case: bytes) -> str:
    answer = _service().ask(case)
    if answer is None:
        return "never let through"
    outcome = check_answer(answer, case)
    if answer.status == 200 and case.startswith(b"POST"):
        assert b'"scores"' not in answer.body
        assert b'"threshold"' not in answer.body
        assert b'"name":"score"' not in answer.body
    if _KEY.encode() not in case and answer.status not in (401, 403):
        path = case.split(b" ", 1)[1]
        assert path.startswith(_FREE) or b"%" in path, f"let in without a key: {answer.status}"
    return outcome


_BEARER = f"Bearer {_KEY}"

TARGET = Target(
    "keys",
    check,
    score_requests(Authorization=_BEARER) + look_requests(Authorization=_BEARER) + look_requests(),
    mutate,
)
