"""The scheduling of reads: silent calls do not block others for long, and no more is read at once than fits."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

import grpc
import pytest

from harmgauge.api.grpc import reads as module
from harmgauge.api.grpc.reads import FEWEST_READS, MOST_READS, Reads, reads_for
from harmgauge.errors import DeadlinePassed, Overloaded, RequestError

pytestmark = pytest.mark.anyio

NEVER = 3600.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)


class Client:
    """A call whose message arrives when `send` is called; gRPC fails its read once the call has been ended."""

    def __init__(self, reads: Reads, holder: Hashable, seconds: float = NEVER) -> None:
        self._come = asyncio.get_running_loop().create_future()
        self.began = False
        self.task = asyncio.create_task(
            reads.read(self._receive, self._end, holder, asyncio.get_running_loop().time() + seconds)
        )

    async def _receive(self) -> bytes:
        self.began = True
        message: bytes = await self._come
        return message

    def _end(self, _: RequestError) -> None:
        self._come.set_exception(grpc.aio.AbortError())
        self._come.exception()  # marked as retrieved: a call that just got its turn never awaits it

    def send(self) -> None:
        self._come.set_result(b"hello")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def begun(reads: Reads, holder: Hashable, number: int, seconds: float = NEVER) -> list[Client]:
    clients = [Client(reads, holder, seconds) for _ in range(number)]
    await settle()
    return clients


async def gone(clients: Sequence[Client]) -> None:
    for client in clients:
        client.task.cancel()
    await asyncio.gather(*(client.task for client in clients), return_exceptions=True)


def test_how_many_are_read_follows_from_their_size() -> None:
    assert reads_for(16 * 2**20) == 16
    assert reads_for(1) == MOST_READS
    assert reads_for(2**30) == FEWEST_READS


async def test_a_message_is_read() -> None:
    reads = Reads(8)
    (client,) = await begun(reads, "a", 1)
    client.send()
    assert await client.task == b"hello"


async def test_one_holder_leaves_a_quarter_to_others() -> None:
    reads = Reads(8)
    silent = await begun(reads, "silent", 20)
    assert sum(client.began for client in silent) == 6
    honest = [(await begun(reads, name, 1))[0] for name in ("a", "b")]
    assert all(client.began for client in honest)
    await gone(silent + honest)


async def test_silent_reads_end_when_others_wait_and_not_before() -> None:
    reads = Reads(8)
    silent = [client for name in "abcdefgh" for client in await begun(reads, name, 1)]
    assert all(client.began for client in silent)
    await asyncio.sleep(0.2)
    assert not any(client.task.done() for client in silent)
    (honest,) = await begun(reads, "honest", 1)
    assert honest.began
    with pytest.raises(Overloaded, match="too slowly"):
        await silent[0].task  # the oldest
    assert not any(client.task.done() for client in silent[1:])
    await gone([*silent[1:], honest])


async def test_a_slow_holder_stays_out_of_the_reserve() -> None:
    reads = Reads(8)
    silent = await begun(reads, "silent", 30)
    while sum(client.task.done() for client in silent) < 20:  # those that wait get their turn as others are ended
        await asyncio.sleep(0.01)
    for name in "abcdef":
        begin = asyncio.get_running_loop().time()
        (honest,) = await begun(reads, name, 1)
        assert honest.began, "it had to wait"
        honest.send()
        assert await honest.task == b"hello"
        assert asyncio.get_running_loop().time() - begin < 0.1
    await gone([client for client in silent if not client.task.done()])


async def test_the_more_wait_the_sooner_a_read_ends() -> None:
    """All 200 holders get a turn within a few patience periods, though only eight at a time may read."""
    reads = Reads(8)
    begin = asyncio.get_running_loop().time()
    silent = [client for name in range(200) for client in await begun(reads, name, 1)]
    # On a busy machine, a call can be ended before its task runs: then it had its turn as well.
    while not all(client.began or client.task.done() for client in silent):
        await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - begin < 2  # of 25 turns of 0.1 s
    await gone([client for client in silent if not client.task.done()])


async def test_whoever_reads_least_is_next() -> None:
    reads = Reads(8)
    many = await begun(reads, "many", 7)
    others = [client for name in "ab" for client in await begun(reads, name, 2)]
    assert [client.began for client in others] == [True, False, True, False]
    (newest,) = await begun(reads, "new", 1)
    many[0].send()  # six of eight are still reading: only a holder without a read may use the reserve
    await settle()
    assert newest.began
    assert not many[6].began
    await gone([*many[1:], *others, newest])


async def test_deadlines_hold_for_what_is_read_and_for_what_waits() -> None:
    reads = Reads(8)
    clients = await begun(reads, "a", 8, seconds=0.05)
    assert sum(client.began for client in clients) == 6
    for client in clients:
        with pytest.raises(DeadlinePassed):
            await client.task
    (client,) = await begun(reads, "b", 1)
    assert client.began
    await gone([client])


async def test_no_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    reads = Reads(8)
    greedy = await begun(reads, "greedy", 16)
    modest = [client for name in "abcd" for client in await begun(reads, name, 2)]
    refused = [client for client in greedy if client.task.done()]
    assert refused == greedy[-6:], "the newest of the holder with the most"
    with pytest.raises(Overloaded, match="Too many calls are waiting"):
        await refused[0].task
    assert not any(client.task.done() for client in modest)
    await gone([client for client in greedy + modest if not client.task.done()])


async def test_clients_that_leave_leave_room() -> None:
    reads = Reads(8)
    await gone(await begun(reads, "a", 30))
    clients = await begun(reads, "b", 6)
    assert all(client.began for client in clients)
    await gone(clients)


async def test_what_was_ended_counts_until_its_client_has_heard_of_it() -> None:
    """Its bytes remain allocated until then, and a client may never read the error."""

    class Deaf(Client):
        def _end(self, _: RequestError) -> None:
            pass

    reads = Reads(8)
    deaf = [Deaf(reads, number) for number in range(60)]
    await settle()
    await asyncio.sleep(0.5)
    assert sum(client.began for client in deaf) <= 16
    await gone(deaf)
    (honest,) = await begun(reads, "honest", 1)
    assert honest.began
    await gone([honest])
