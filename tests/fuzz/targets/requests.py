"""Whole requests with various headers, paths and queries, through everything between the server and the graph."""

from __future__ import annotations

import json
from functools import lru_cache

from tests.fuzz.target import Target
from tests.fuzz.targets.asgi import InProcess, check_answer, mutate
from tests.fuzz.targets.npy import frame
from tests.support.toy import instances

_X = instances(2, (4, 5, 3))


@lru_cache(maxsize=1)
def _service() -> tuple[InProcess, bytes]:
    service = InProcess()
    good = service.ask(SEEDS[0])
    assert good is not None
    assert good.status == 200, good.body
    return service, good.body


def check(case: bytes) -> str:
    service, good = _service()
    answer = service.ask(case)
    if hash(case) % 16 == 0:  # after any case, a good request gets its own scores
        again = service.ask(SEEDS[0])
        assert again is not None
        assert again.body == good, "the scores of a good request have changed"
    return "never let through" if answer is None else check_answer(answer, case)


def _request(line: str, body: bytes = b"", /, **headers: str) -> bytes:
    lines = [line, "Host: localhost:8000", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\n".join(lines).encode() + b"\n\n" + body


def score_requests(**more: str) -> list[bytes]:
    """Valid score requests in every form, with these additional headers."""
    as_json = json.dumps({"instances": _X.tolist()}).encode()
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 5, 3)}\n"
    infer = {
        "inputs": [
            {"name": "input", "datatype": "UINT8", "shape": [2, 4, 5, 3], "parameters": {"binary_data_size": 120}}
        ]
    }
    head = json.dumps(infer).encode()
    numbers = json.dumps(
        {"inputs": [{**infer["inputs"][0], "parameters": {}, "data": _X.reshape(-1).tolist()}]}
    ).encode()
    deadline = {"X_Harmgauge_Deadline_Seconds": "5", "X_Request_Id": "abc", "X_Harmgauge_Client": "camera-7"}
    return [
        _request("POST /score", _X.tobytes(), Content_Type="application/octet-stream", **more),
        _request("POST /score?probabilities=true", as_json, Content_Type="application/json", **deadline, **more),
        _request(
            "POST /score",
            frame(1, header, _X.tobytes()),
            Content_Type="application/x-npy",
            Content_Length="198",
            **more,
        ),
        _request("POST /v2/models/toy/infer", numbers, Content_Type="application/json", **deadline, **more),
        _request(
            "POST /v2/models/toy/infer", head + _X.tobytes(), Inference_Header_Content_Length=str(len(head)), **more
        ),
        _request("POST /v2/models/toy/versions/1/infer", numbers, Content_Encoding="identity", **more),
    ]


def look_requests(**more: str) -> list[bytes]:
    """Requests for all other routes."""
    paths = [
        "/", "/docs", "/openapi.json", "/livez", "/readyz", "/info", "/drift", "/drift?scores=true", "/drift/sources",
        "/drift/columns", "/drift/features", "/metrics", "/drift/embedding", "/page/state", "/page/history",
        "/page/main.js", "/page/about", "/v2", "/v2/models/toy", "/nothing/", "/v2/models/toy/versions/1/ready",
        "/v2/health/ready", "/score/", "/drift/", "/info/",
    ]  # fmt: skip
    looks = [_request(f"GET {path}", **more) for path in paths]
    cached = {"If_None_Match": '"abc", W/"def"', "Accept_Encoding": "gzip"}
    orders = [_request(f"POST /admin/{path}", **more) for path in ("drift/reset", "bundle", "shadow", "shadow/promote")]
    return [*looks, _request("GET /page/main.js", **cached, **more), *orders]


SEEDS = [*score_requests(), *look_requests()]

TARGET = Target("requests", check, SEEDS, mutate)
