"""Clients that offer a protocol upgrade, as Java's and curl's do by default: they are answered like all others."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harmgauge.auth.keys import new_key
from tests.support.process import RAW, RunningService, running_service
from tests.support.tools import on_path, run
from tests.support.toy import instances

ROWS = instances(2, (4, 4, 3)).tobytes()
KEY, LINE = new_key("shop")
HTTP2 = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
OFFERS = {
    "HTTP/2": HTTP2,
    "WebSocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n",
    "unheard of": "Connection: keep-alive, Upgrade\r\nUpgrade: foo/2, bar\r\nUpgrade: baz\r\n",
}
JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;

public class Score {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();  // as it comes: it offers HTTP/2
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Content-Type", "application/octet-stream").header("Authorization", "Bearer " + arguments[1])
            .POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[2]))).build();
        for (int i = 0; i < 3; i++) {
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, api_keys=LINE, client_key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def scores(service: RunningService) -> list[float]:
    answer = service.client.post("/score", content=ROWS, headers=RAW)
    found: list[float] = answer.json()["scores"]
    return found


def head(offer: str, framing: str) -> bytes:
    lines = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {RAW['Content-Type']}\r\n"
    return f"{lines}{offer}{framing}\r\n".encode()


def talk(service: RunningService, parts: list[bytes], count: int = 1) -> bytes:
    """All data received on one connection, with at least `count` responses.

    Each part is sent once the service has had time to read the previous one, and the wait ends when the responses
    should have arrived.
    """

    def turns() -> None:
        for _ in range(5):
            assert service.client.get("/livez").status_code == 200

    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            turns()
        received = b""
        while received.count(b"HTTP/1.1 ") < count or not received.endswith(b"}"):
            piece = connection.recv(65536)
            assert piece, f"closed after {received!r}"
            received += piece
        turns()
        connection.setblocking(False)
        with suppress(BlockingIOError):
            received += connection.recv(65536)
        return received


def answers(received: bytes) -> list[dict[str, object]]:
    """The JSON documents of all responses, which must be successful."""
    pieces = received.split(b"HTTP/1.1 ")[1:]
    assert all(piece.startswith(b"200 ") for piece in pieces), received
    return [json.loads(piece.partition(b"\r\n\r\n")[2]) for piece in pieces]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("late", [False, True], ids=["with the head", "in packets of its own"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_body_is_read_as_without_the_offer(
    service: RunningService, scores: list[float], offer: str, late: bool, chunked: bool
) -> None:
    half = len(ROWS) // 2
    if chunked:
        framing = "Transfer-Encoding: chunked\r\n"
        body = [b"%x\r\n%s\r\n" % (half, ROWS[:half]), b"%x\r\n%s\r\n0\r\n\r\n" % (len(ROWS) - half, ROWS[half:])]
    else:
        framing, body = f"Content-Length: {len(ROWS)}\r\n", [ROWS[:half], ROWS[half:]]
    parts = [head(offer, framing), *body]
    received = talk(service, parts if late else [b"".join(parts)])
    assert [answer["scores"] for answer in answers(received)] == [scores]


def test_a_connection_goes_on_behind_offers(service: RunningService, scores: list[float]) -> None:
    one = head(HTTP2, f"Content-Length: {len(ROWS)}\r\n") + ROWS
    live = f"GET /livez HTTP/1.1\r\nHost: x\r\n{HTTP2}\r\n".encode()
    whole = one + live + one + live.replace(HTTP2.encode(), b"") + one
    for parts in ([whole], [whole[place : place + 50] for place in range(0, len(whole), 50)]):
        found = answers(talk(service, parts, 5))
        assert [answer.get("scores", answer.get("status")) for answer in found] == [
            *(scores, "alive", scores, "alive", scores)
        ]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_no_body_becomes_a_request(service: RunningService, offer: str) -> None:
    inner = b"GET /livez HTTP/1.1\r\nHost: smuggled\r\nX-Request-Id: smuggled\r\n\r\n"
    outer = head(offer, f"Content-Length: {len(inner)}\r\n")
    for parts in ([outer + inner], [outer, inner], [outer, inner[:9], inner[9:]]):
        received = talk(service, parts)
        assert received.count(b"HTTP/1.1 ") == 1
        assert received.startswith(b"HTTP/1.1 422 ")
        assert b"smuggled" not in received


def test_close_beside_an_offer_still_closes(service: RunningService, scores: list[float]) -> None:
    one = head("Connection: close, Upgrade\r\nUpgrade: h2c\r\n", f"Content-Length: {len(ROWS)}\r\n") + ROWS
    received = talk(service, [one + one])
    assert b"connection: close" in received
    assert [answer["scores"] for answer in answers(received)] == [scores]


def test_javas_client_as_it_comes(service: RunningService, scores: list[float], tmp_path: Path) -> None:
    (tmp_path / "Score.java").write_text(JAVA)
    (tmp_path / "rows").write_bytes(ROWS)
    java = on_path("java")
    done = run(
        java, str(tmp_path / "Score.java"), f"http://127.0.0.1:{service.port}/score", KEY, str(tmp_path / "rows")
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        status, _, body = line.partition(" ")
        assert (status, json.loads(body)["scores"]) == ("200", scores)
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("framing", [[], ["--header", "Transfer-Encoding: chunked"]], ids=["length", "chunked"])
def test_curl_that_offers_http2(
    service: RunningService, scores: list[float], tmp_path: Path, framing: list[str]
) -> None:
    (tmp_path / "rows").write_bytes(ROWS)
    headers = [f"Authorization: Bearer {KEY}", f"Content-Type: {RAW['Content-Type']}"]
    own = [part for header in headers for part in ("--header", header)]
    body = f"@{tmp_path / 'rows'}"
    url = f"http://127.0.0.1:{service.port}/score"
    done = run(on_path("curl"), "--silent", "--show-error", "--http2", *own, *framing, "--data-binary", body, url)
    assert json.loads(done.stdout)["scores"] == scores, done.stderr


def test_nothing_of_it_is_an_error(service: RunningService) -> None:
    assert not [line for line in service.log if "ERROR" in line or "upgrade" in line.lower()]
