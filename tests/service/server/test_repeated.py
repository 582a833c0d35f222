"""A request whose head repeats the one before is read as the parser would read it."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from harmgauge.api.body.intake import texts
from harmgauge.api.exchange import Exchange
from harmgauge.api.scope import EXCHANGE, HEADERS
from harmgauge.server.connections import Connections
from harmgauge.server.guarded import GuardedHttpProtocol
from harmgauge.server.repeated import LONGEST_BYTES, RepeatingHttpProtocol
from tests.support.transport import Transport, rounds

pytestmark = pytest.mark.anyio

POST = b"POST /score?a=%20b HTTP/1.1\r\nX-Request-Id: 7\r\nContent-Length: 3\r\n\r\n"
LATE = b"xyz"
"""The body of a request that is not answered at once."""


class Seen(NamedTuple):
    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    state: dict[str, Any]
    body: bytes


class Application:
    """Records what it is sent, and returns the body. If it `receives`, it takes bodies in ASGI's messages only."""

    def __init__(self, *, receives: bool = False) -> None:
        self.seen: list[Seen] = []
        self._receives = receives

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange: Exchange = scope[EXCHANGE]
        whole = None if self._receives else exchange.whole_body()
        body = b"" if whole is None else bytes(whole)
        more = whole is None
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        assert "request_id" not in scope
        if body == LATE:
            await asyncio.sleep(0)
        assert scope.get(HEADERS, texts(scope["headers"])) == texts(scope["headers"])
        self.seen.append(
            Seen(
                scope["method"],
                scope["path"],
                scope["query_string"],
                list(scope["headers"]),
                dict(scope["state"]),
                body,
            )
        )
        scope["state"]["mine"] = scope["request_id"] = len(self.seen)  # the next request must not see it
        headers = [(b"content-length", b"%d" % len(body))]
        if not exchange.answer(200, headers, body):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def connected(
    kind: type[GuardedHttpProtocol], *, receives: bool = False
) -> tuple[GuardedHttpProtocol, Transport, Application]:
    app = Application(receives=receives)
    protocol = kind(
        Config(app, lifespan="off"),
        ServerState(),
        {},
        is_prompt=lambda scope: scope["method"] == "POST",
        timeout_seconds=60,
        everyone=Connections(10),
        refused=lambda _: None,
    )
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport, app


async def told(
    kind: type[GuardedHttpProtocol], parts: list[tuple[bytes, int]], *, receives: bool = False
) -> tuple[list[Seen], bytes, bool]:
    """The requests that the application sees, the bytes sent, and whether the connection ends, if these parts arrive,
    each followed by so many rounds of the loop.
    """
    protocol, transport, app = connected(kind, receives=receives)
    for part, waits in parts:
        if not transport.is_closing():
            protocol.data_received(part)
        await rounds(waits)
    await rounds(60)
    return app.seen, transport.written, transport.is_closing()


BODIES = st.sampled_from([b"abc", LATE, b"\r\n\r", POST[:3]])


def post(body: bytes) -> bytes:
    return POST.replace(b"Length: 3", b"Length: %d" % len(body)) + body


HEADS = st.sampled_from(
    [
        POST,
        POST.replace(b"X-Request-Id: 7", b"X-Request-Id: 8"),
        POST.replace(b"POST", b"PUT"),
        POST.replace(b"HTTP/1.1", b"HTTP/1.0\r\nConnection: keep-alive"),
        POST.replace(b"X-Request-Id: 7", b"Expect: 100-continue"),
        POST.replace(b"X-Request-Id: 7", b"Connection: Upgrade\r\nUpgrade: h2c"),
        POST.replace(b"X-Request-Id: 7", b"Authorization: Bearer " + b"x" * LONGEST_BYTES),
        POST.replace(b"\r\n", b"\n"),
        POST.replace(b"Length: 3", b"Length:  3 \t"),
    ]
)
CHUNKED = POST.replace(b"Content-Length: 3", b"Transfer-Encoding: chunked")
LENGTH_IN_CHUNK = CHUNKED + b"16\r\n\r\ncontent-length: 33\r\n\r\n0\r\n\r\n"
"""The chunk holds a line like the missing field, with the number of bytes after the head."""

MESSAGES = st.one_of(
    st.builds(lambda body: POST + body, BODIES),  # the most frequent
    st.builds(post, st.sampled_from([b"", b"a", b"abcd", b"x" * 12, b"y" * 13])),
    st.builds(lambda body: POST.replace(b"Length: 3", b"Length: 4") + body, BODIES),  # of which a byte is missing
    st.builds(lambda head, body: head + body, HEADS, BODIES),
    st.builds(lambda body: CHUNKED + b"3\r\n" + body + b"\r\n0\r\n\r\n", BODIES),
    st.just(LENGTH_IN_CHUNK),
    st.builds(lambda body: POST.replace(b"X-Request-Id: 7", b"Connection: close") + body, BODIES),
    st.just(b"GET / HTTP/1.1\r\n\r\n"),
    st.just(b"\r\n"),
    st.just(POST),  # the next message becomes its body
)


@st.composite
def cut(draw: st.DrawFn, parts: list[bytes]) -> list[bytes]:
    """The same bytes, perhaps cut elsewhere."""
    sent = b"".join(parts)
    places = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    return [sent[begin:end] for begin, end in zip([0, *places], [*places, len(sent)], strict=True) if begin < end]


@given(st.data(), st.lists(MESSAGES, min_size=1, max_size=8), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_both_read_the_same(
    data: Any, messages: list[bytes], waits: bool, is_cut: bool, receives: bool
) -> None:
    parts = data.draw(cut(messages)) if is_cut else messages
    timed = [(part, 5 if waits else data.draw(st.integers(0, 3))) for part in parts]
    repeated = asyncio.run(told(RepeatingHttpProtocol, timed, receives=receives))
    assert repeated == asyncio.run(told(GuardedHttpProtocol, timed, receives=receives))


@pytest.mark.parametrize(
    "parts",
    [
        [POST, b"abc" + POST + b"def", b"abc" + POST + b"def"],
        [POST + b"abc\r\n"] * 3,
        [post(body) for body in (b"abc", b"abcd", b"a", b"x" * 12, b"x" * 13, b"abc")],
        [POST + b"abc", POST.replace(b"3", b"x") + b"abc"],
        [POST + b"abc", POST.replace(b"3", b"4") + b"abc", b"d" + POST + b"abc"],
        [b"\r\n" + POST + b"abc"] * 3,
        [POST + b"abc" + POST + b"def"] * 3,
        [POST + b"abc", POST + b"def" + POST[:9], POST[9:] + b"ghi"],
        [POST + b"abc", POST + LATE, POST + b"def", POST + LATE],
        [LENGTH_IN_CHUNK] * 3,
        [POST.replace(b"3", b"3 \t") + b"abc"] * 3,
    ],
    ids=[
        "end of a body first",
        "blank line last",
        "other lengths",
        "no length",
        "a body cut short",
        "blank line first",
        "two at once",
        "begin of the next",
        "pending",
        "a length in a chunk",
        "blanks after the length",
    ],
)
@pytest.mark.parametrize("waits", [0, 1, 5])
@pytest.mark.parametrize("receives", [False, True])
async def test_no_other_data_are_taken_for_a_request(parts: list[bytes], waits: int, receives: bool) -> None:
    timed = [(part, waits) for part in parts]
    expected = await told(GuardedHttpProtocol, timed, receives=receives)
    assert await told(RepeatingHttpProtocol, timed, receives=receives) == expected


@pytest.mark.parametrize("kind", [RepeatingHttpProtocol, GuardedHttpProtocol])
async def test_a_request_without_memory_is_refused(
    kind: type[GuardedHttpProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    protocol, transport, _ = connected(kind)
    protocol.data_received(POST + b"abc")
    await rounds()
    monkeypatch.setattr(protocol, "_begin", fails)
    protocol.data_received(POST + b"abc")
    assert b"HTTP/1.1 503 " in transport.written
    assert transport.is_closing()


async def test_each_connection_keeps_a_short_head_only() -> None:
    protocol, _, app = connected(RepeatingHttpProtocol)
    long = POST.replace(b"X-Request-Id: 7", b"X-Request-Id: 7" * (LONGEST_BYTES // 15))
    for _ in range(3):
        protocol.data_received(long + b"abc")
        await rounds()
    assert len(app.seen) == 3
    del protocol.parser
    with pytest.raises(AttributeError):
        protocol.data_received(long + b"abc")


async def test_the_parser_is_not_needed_for_a_repeated_head() -> None:
    protocol, transport, app = connected(RepeatingHttpProtocol)
    protocol.data_received(POST + b"abc")
    await rounds()
    del protocol.parser
    for body in (b"def", b"12345678"):
        protocol.data_received(post(body))
        await rounds()
    assert [seen.body for seen in app.seen] == [b"abc", b"def", b"12345678"]
    assert app.seen[2].headers[1] == (b"content-length", b"8")
    assert transport.written.endswith(b"content-length: 8\r\n\r\n12345678")
