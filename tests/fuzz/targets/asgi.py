"""The whole service without its sockets: requests as text, responses as they would be sent."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

from harmgauge.app import build
from harmgauge.settings import Settings
from tests.fuzz.mutate import NUMBERS, bytewise
from tests.support.toy import toy_bundle

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
"""The targets that httptools accepts; others never reach the service."""

TOKENS = [
    *NUMBERS, b"POST", b"GET", b"HEAD", b"/score", b"/v2/models/toy/infer", b"/drift?scores=true", b"/page/",
    b"/admin/", b"/..", b"//", b"/%2e", b"%00", b"%ff", b"?", b"&", b"probabilities=true", b"=", b"Content-Length: 5",
    b"error_probability=true", b"Content-Type: ", b"application/json", b"application/x-npy",
    b"application/octet-stream", b"image/png", b"image/jpeg", b"; charset=utf-16", b"Content-Encoding: gzip",
    b"X-Harmgauge-Deadline-Seconds: ", b"1e-9", b"nan", b"inf", b"-inf", b"1_0", b"X-Request-Id: ",
    b"X-Harmgauge-Client: ", b"Authorization: Bearer ", b"Bearer", b"Basic ", b"Inference-Header-Content-Length: ",
    b"9" * 5000, b"Host: [", b"Host: a b", b"Host: ::", b"Accept-Encoding: gzip", b"If-None-Match: W/", b"\n", b": ",
    b" ", b"\t", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"hg_", b"\xe9", b"Origin: http://elsewhere",
    b"text/plain", b"bundle", b"shadow",
]  # fmt: skip
_bytewise = bytewise(TOKENS)


def mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Mostly mutates the head, which is everything before the first empty line."""
    head, _, body = case.partition(b"\n\n")
    if chance.random() < 0.15:
        return head + b"\n\n" + _bytewise(body, other, chance)
    lines = head.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            lines.insert(1, chance.choice(TOKENS) + chance.choice(TOKENS))
        case 1 if at:
            del lines[at]
        case 2:
            lines[at] = (
                lines[at].partition(b": ")[0] + b": " + chance.choice(TOKENS)
                if at
                else _bytewise(lines[0], other, chance)
            )
        case _:
            lines[at] = _bytewise(lines[at], other.partition(b"\n")[0], chance)
    return b"\n".join(lines) + b"\n\n" + body


@dataclass
class Answer:
    """The response that was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


class InProcess:
    """A service with a toy bundle, on an event loop that runs during a request."""

    def __init__(self, **settings: Any) -> None:
        logging.disable(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        bundle = toy_bundle(Path(self._folder.name), shape=(4, 5, 3))

        async def make() -> Any:
            return build(Settings(bundle=bundle, workers=1, **settings))

        self.service = self._loop.run_until_complete(make())
        self.service.readiness.ready()

    def ask(self, case: bytes) -> Answer | None:
        """The response; None if the server would have rejected the request."""
        scope = _scope(case)
        return None if scope is None else self._loop.run_until_complete(self._ask(scope, case.partition(b"\n\n")[2]))

    async def _ask(self, scope: dict[str, Any], body: bytes) -> Answer | None:
        sent: list[Any] = []
        pieces = [body[:7], body[7:]] if len(body) > 7 else [body]

        async def receive() -> Any:
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            await asyncio.sleep(10)
            raise AssertionError("it waits for a body that it has")

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(self.service.switch(scope, receive, send), 5)
        return _answer(sent)


def _scope(case: bytes) -> dict[str, Any] | None:
    head = case.partition(b"\n\n")[0].split(b"\n")
    method, _, target = head[0].partition(b" ")
    if not _TARGET.fullmatch(target) or method not in (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"):
        return None
    headers = []
    for line in head[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        name, value = name.lower(), value.strip(b" \t")
        if name == b"content-length" and not value.isdigit():
            return None
        headers.append((name, value))
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.decode(),
        "scheme": "http",
        "path": unquote(path.partition(b"#")[0].decode()),
        "raw_path": path,
        "query_string": query.partition(b"#")[0],
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
        "state": {},
    }


def _answer(sent: list[Any]) -> Answer | None:
    if not sent:  # the client left: nobody is answered
        return None
    assert [message["type"] for message in sent[:1]] == ["http.response.start"], sent[:1]
    assert all(message["type"] == "http.response.body" for message in sent[1:])
    assert len(sent) > 1
    assert not sent[-1].get("more_body"), "the answer has no end"
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    for name, value in sent[0]["headers"]:
        assert _NAME.fullmatch(name), name
        assert _VALUE.fullmatch(value), value
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


_OF_ROWS = ("scores", "probabilities", "error_probability")
"""Optional fields with an item for each instance."""


def check_answer(answer: Answer, case: bytes) -> str:
    """A valid response of the right form, or a problem document with a 4xx status."""
    assert answer.status < 500 or answer.status == 504, f"{answer.status}: {answer.body[:300]!r}"
    request_id = answer.headers["x-request-id"]
    assert re.fullmatch("[\x21-\x7e]{1,128}", request_id)
    if "content-length" in answer.headers and not case.startswith(b"HEAD"):
        assert int(answer.headers["content-length"]) == len(answer.body)
    if answer.status >= 400:
        document = json.loads(answer.body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert document["status"] == answer.status
        assert document["request_id"] == request_id
        assert 0 < len(document["detail"]) < 500
        return f"{answer.status} {document['code']}"
    if case.startswith(b"POST /score") and answer.status == 200:
        document = json.loads(answer.body)
        rows = len(document["predictions"])
        assert rows >= 1
        assert len(document["is_adversarial"]) == rows
        assert all(len(document[name]) == rows for name in _OF_ROWS if name in document)
    return str(answer.status)
