"""The soak itself, in half a minute, and that it detects the errors that it looks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from tests.soak import judge
from tests.soak.__main__ import main
from tests.soak.dialects import RAW
from tests.soak.fast import FastClient
from tests.soak.journal import read
from tests.soak.ledger import Ledger, Unanswered
from tests.soak.numbers import NUMBERS, numbers, scramble
from tests.soak.pictures import FLAGGED_FROM

pytestmark = pytest.mark.anyio

REQUESTS = 2000


@pytest.mark.timeout(900)  # it has a minute's work, and shares the cores with other processes
def test_half_a_minute_of_it_loses_and_swaps_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "soak.jsonl"
    words = ["--minutes", "0.4", "--requests", str(REQUESTS), "--rate", "200", "--restarted-rate", "50"]
    code = main([*words, "--journal", str(log), "--out", str(tmp_path / "r")])
    printed = capsys.readouterr()
    assert code == 0, printed.out
    events = read(log)
    ledgers = judge.ledgers(events)
    assert sum(ledger.single for ledger in ledgers.values()) >= REQUESTS
    assert [ledger.evidence for ledger in ledgers.values()] == [[], []]
    assert judge.fates(events)["lost"] == 0
    assert judge.kinds(events, "counters")[0]["untrue"] == []
    assert judge.kinds(events, "failure") == []
    assert all(ledgers["steady"].by_kind[kind] for kind in ("raw", "raw, 8 in flight", "v2-json", "png", "gRPC"))
    assert ledgers["restarted"].single
    for kind in ("swap", "sighup", "keys", "start", "drain"):
        assert judge.kinds(events, kind), kind
    assert len(list((tmp_path / "r").glob("*.png"))) == 3
    assert "MISSED" not in next((tmp_path / "r").glob("*.md")).read_text()


def test_every_input_is_another() -> None:
    seen = np.zeros(NUMBERS, np.bool_)
    for first in range(0, NUMBERS, 2**16):
        seen[scramble(np.arange(first, first + 2**16))] = True
    assert seen.all(), "as many as there are, so none twice"
    assert len({*numbers(0, 5000), *numbers(5000, 10_000)}) == 10_000


async def _seen_by_a_client_of(serve: Callable[[asyncio.StreamWriter, list[int]], Awaitable[None]]) -> Ledger:
    """The results of a client with four requests in flight to a server that answers with `serve`."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.close()  # nothing accepts requests that are sent again
        asked = []
        for _ in range(4):
            await reader.readuntil(b"\r\n\r\n")
            row = await reader.readexactly(12)
            asked.append(int.from_bytes(row[:3], "little"))
        await serve(writer, asked)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = FastClient(port, "key", [("raw", 1, 4)], numbers(0, 4), None)
    await asyncio.sleep(0.2)
    await client.stop()
    return client.ledger


def _answer(number: int, version: str = "1", status: str = "200 OK") -> bytes:
    body = RAW.answer(number, version)
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def test_good_answers_of_either_version_are_taken() -> None:
    async def serve(writer: asyncio.StreamWriter, asked: list[int]) -> None:
        whole = b"".join(_answer(number, "12"[number % 2]) for number in asked)
        for begin in range(0, len(whole), 50):  # in pieces that end anywhere
            writer.write(whole[begin : begin + 50])
            await asyncio.sleep(0.001)

    ledger = await _seen_by_a_client_of(serve)
    assert (ledger.single, ledger.swapped, ledger.wrong, ledger.unanswered) == (4, 0, 0, [])
    assert ledger.flagged == sum(number >= FLAGGED_FROM for number in numbers(0, 4))


async def test_swapped_answers_are_noticed() -> None:
    async def serve(writer: asyncio.StreamWriter, asked: list[int]) -> None:
        writer.write(b"".join(_answer(asked[index]) for index in (0, 2, 1, 3)))

    ledger = await _seen_by_a_client_of(serve)
    assert (ledger.single, ledger.swapped, ledger.wrong) == (2, 2, 0)


async def test_an_answer_under_another_versions_name_is_noticed() -> None:
    async def serve(writer: asyncio.StreamWriter, asked: list[int]) -> None:
        writer.write(b"".join(_answer(number).replace(b'version":"1"', b'version":"2"') for number in asked))

    assert (await _seen_by_a_client_of(serve)).swapped == 4


async def test_answers_that_never_come_are_noticed() -> None:
    async def serve(writer: asyncio.StreamWriter, asked: list[int]) -> None:
        writer.write(_answer(asked[0]) + _answer(asked[1])[:-7])

    ledger = await _seen_by_a_client_of(serve)
    assert ledger.single == 1
    assert [(gone.how, gone.ahead) for gone in ledger.unanswered] == [
        ("closed, in the middle of an answer", index) for index in range(3)
    ]


def test_what_became_of_a_request() -> None:
    events = [
        {"kind": "drain", "at": 20.3, "began": 20.0, "seconds": 0.3},
        {"kind": "kill", "at": 50.0},
    ]

    def fate(sent: float, gone: float, *, told: bool = False) -> str:
        return judge.fate(Unanswered(sent, gone, "closed", 0, told), events)

    assert fate(19.99, 20.2) == "lost", "sent before SIGTERM"
    assert fate(20.01, 20.2) == "crossed"
    assert fate(20.01, 20.2, told=True) == "told"
    assert fate(49.9, 50.01) == "killed"
    assert fate(49.9, 49.95) == "lost"
    assert fate(30.0, 60.0) == "lost"


def test_a_machine_that_stands_still_is_no_slow_drain() -> None:
    drain = {"kind": "drain", "at": 28.4, "began": 20.0, "seconds": 8.4}
    stalls = [{"kind": "stall", "at": at, "seconds": 0.5} for at in (19.0, 20.25, 24.0, 28.5)]
    assert judge.own_seconds(drain, [drain, *stalls]) == pytest.approx(8.4 - 0.25 - 0.5 - 0.4)


def test_counters_that_are_not_true_are_found() -> None:
    ledger = Ledger(rows=10, flagged=1)
    ledger.answers.update({"/score 200": 10, "/score 504": 1})
    ledger.codes["deadline_passed"] = 1
    ledger.left["/score"] = 2

    def untrue(good: float, gone: float, late: float = 1, clean: float = 9) -> int:
        counted = [("200", good), ("499", gone), ("504", late)]
        return len(
            judge.untrue_counters(
                ledger,
                {
                    "harmgauge_requests_total": [({"route": "/score", "status": s}, n) for s, n in counted],
                    "harmgauge_rejected_total": [({"reason": "deadline_passed"}, 1), ({"reason": "too_large"}, 0)],
                    "harmgauge_instances_total": [({"flag": "clean"}, clean), ({"flag": "adversarial"}, 1)],
                },
            )
        )

    assert untrue(10, 2) == 0
    assert untrue(11, 1) == 0, "one who left was answered"
    assert untrue(10, 3) == 1
    assert untrue(9, 3) == 1
    assert untrue(10, 2, late=2) == 1
    assert untrue(10, 2, clean=10) == 1
