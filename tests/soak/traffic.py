"""One process of clients: `python -m tests.soak.traffic PLAN`, started by the soak.

It accepts commands as lines of JSON, reports every few seconds, and reports everything at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop

from tests.soak.fast import FastClient
from tests.soak.ledger import Ledger
from tests.soak.mixed import Mixed
from tests.soak.numbers import numbers

INTERVAL_SECONDS = 5.0


@dataclass(frozen=True)
class Target:
    """A service and its traffic: single rows by `kinds` (as in FastClient), with the numbers of the counters from
    `first` to `end`, and `mixed` traffic if its keys are given.
    """

    service: str
    port: int
    grpc_port: int
    key: str
    kinds: list[tuple[str, int, int]]
    first: int
    end: int
    rate: float | None
    light_rate: float = 0
    mixed: dict[str, str] | None = None


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def run(targets: list[Target]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    clients = {
        target.service: FastClient(
            target.port, target.key, target.kinds, numbers(target.first, target.end), target.rate, target.light_rate
        )
        for target in targets
    }
    mixed = {
        target.service: Mixed(target.port, target.grpc_port, target.key, target.mixed)
        for target in targets
        if target.mixed is not None
    }

    async def follow() -> None:
        while line := await commands.readline():
            command = json.loads(line)
            if "key" in command:
                for client in clients.values():
                    client.use_key(command["key"])
                for other in mixed.values():
                    other.use_key(command["key"])
                say({"key": command["key"]})
            elif "light" in command:
                for name, client in clients.items():
                    client.light = command["light"] and name == "steady"
                for other in mixed.values():
                    other.paused = command["light"]
            else:
                break
        stop.set()  # on a command, or when the soak has ended

    following = asyncio.create_task(follow())
    while not stop.is_set():
        await wait(stop, INTERVAL_SECONDS)
        say({"services": {name: interval(client, mixed.get(name)) for name, client in clients.items()}})
    following.cancel()
    await asyncio.gather(*(each.stop() for each in clients.values()), *(each.stop() for each in mixed.values()))
    ledgers: dict[str, Ledger] = {name: client.ledger for name, client in clients.items()}
    for name, each in mixed.items():
        ledgers[name].add(each.ledger)
    say({"ledgers": {name: ledger.document() for name, ledger in ledgers.items()}})


async def wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def interval(client: FastClient, mixed: Mixed | None) -> dict[str, Any]:
    """Single rows so far, and the latencies since the last report, in seconds."""
    latencies, client.latencies_seconds = np.array(client.latencies_seconds or [np.nan]), []
    p50, p99, most = np.quantile(latencies, (0.5, 0.99, 1)).tolist()
    seen = [client.ledger, *([mixed.ledger] if mixed else [])]
    return {
        "at": time.monotonic(),
        "single": sum(ledger.single for ledger in seen),
        "p50_seconds": p50,
        "p99_seconds": p99,
        "most_seconds": most,
        "codes": sum((ledger.codes for ledger in seen), Counter()),
        "wrong": sum(ledger.wrong + ledger.swapped for ledger in seen),
        "unanswered": len(client.ledger.unanswered),
    }


def main(plan: str, run_loop: Callable[..., None] = uvloop.run) -> None:
    run_loop(run([Target(**target) for target in json.loads(plan)]))


if __name__ == "__main__":
    main(sys.argv[1])
