"""Load generators: wrk at full load, and an open loop that sends requests without waiting for responses."""

from __future__ import annotations

import asyncio
import random
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harmgauge.auth.names import SOURCE
from tests.bench.percentiles import percentile
from tests.bench.proc import CpuTime

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Load:
    """The results of a run: completed requests, latency percentiles, and the CPU time of wrk itself."""

    requests: int
    requests_per_second: float
    p50_seconds: float
    p99_seconds: float
    cpu: CpuTime


def wrk_is_missing() -> bool:
    return shutil.which("wrk") is None


def closed_loop(
    url: str, body: bytes, media_type: str, connections: int, seconds: float, key: str | None = None
) -> Load:
    """wrk: each connection sends the next request after the last response. Raises if a request fails."""
    return _wrk(url, [body], media_type, connections, seconds, key)


def mixed_loop(
    url: str,
    bodies: Sequence[bytes],
    media_type: str,
    connections: int,
    seconds: float,
    key: str | None = None,
    *,
    sources: int = 0,
) -> Load:
    """Like `closed_loop`, but each request has a random one of the bodies, and names a random one of `sources`."""
    return _wrk(url, bodies, media_type, connections, seconds, key, sources=sources)


def paced_loop(
    url: str,
    bodies: Sequence[bytes],
    media_type: str,
    requests_per_second: float,
    seconds: float,
    key: str | None = None,
) -> Load:
    """wrk with random pauses (exponential): close to a Poisson stream while responses take less time than the pauses.

    Many connections make the pauses long, so that few requests are late because their connection still waits.
    """
    connections = 64
    pause = connections / requests_per_second
    return _wrk(url, bodies, media_type, connections, seconds, key, mean_pause_seconds=pause)


def _wrk(
    url: str,
    bodies: Sequence[bytes],
    media_type: str,
    connections: int,
    seconds: float,
    key: str | None,
    *,
    mean_pause_seconds: float = 0,
    sources: int = 0,
) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(bodies, 1):
            (Path(folder) / f"body{number}").write_bytes(body)
        script = Path(folder) / "post.lua"
        pause = f"-math.log(1 - math.random()) * {mean_pause_seconds * 1e3}"
        script.write_text(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{media_type}"\nlocal requests = {{}}\n'
            + (f'wrk.headers["Authorization"] = "Bearer {key}"\n' if key else "")
            + f"function init()\n  for number = 1, {len(bodies)} do\n"
            f'    local file = io.open("{folder}/body" .. number, "rb")\n'
            '    local body = file:read("*all")\n    file:close()\n'
            f"    for source = 1, {max(1, sources)} do\n"
            + (f'      wrk.headers["{SOURCE}"] = "camera-" .. source\n' if sources else "")
            + "      requests[#requests + 1] = wrk.format(nil, nil, nil, body)\n    end\n  end\nend\n"
            "function request() return requests[math.random(#requests)] end\n"
            + (f"function delay() return math.floor({pause} + 0.5) end\n" if mean_pause_seconds else "")
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "30s"]
        command += ["-s", str(script), url]
        before = _children_time()
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        cpu = _children_time() - before
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"requests failed:\n{text}")
    percentiles = {
        name: float(value) * UNITS[unit] for name, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(\w+)", text)
    }
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    assert rate is not None, text
    assert count is not None, text
    if count[1] == "0":
        raise RuntimeError(f"no request was answered within {seconds:g} s:\n{text}")
    return Load(int(count[1]), float(rate[1]), percentiles["50"], percentiles["99"], cpu)


def _children_time() -> CpuTime:
    """The CPU time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return CpuTime(used.ru_utime, used.ru_stime)


@dataclass(frozen=True)
class Answers:
    """The results of an open loop. `latencies_seconds`, sorted, are those of successful responses; `refused` counts
    429.
    """

    sent: int
    refused: int
    seconds: float
    latencies_seconds: list[float]

    @property
    def good_per_second(self) -> float:
        return len(self.latencies_seconds) / self.seconds

    def percentile_seconds(self, percent: float) -> float:
        return percentile(self.latencies_seconds, percent)


def open_loop(port: int, body: bytes, media_type: str, requests_per_second: float, seconds: float) -> Answers:
    """Send requests at random moments (a Poisson stream), regardless of how long earlier responses take.

    This is our own generator, because wrk stops sending when responses are missing. It uses a good part of a core, so
    it measures throughput, not latency. Raises if a response is neither 200 nor 429.
    """
    return asyncio.run(_poisson(port, body, media_type, requests_per_second, seconds))


async def _poisson(port: int, body: bytes, media_type: str, requests_per_second: float, seconds: float) -> Answers:
    head = f"POST /score HTTP/1.1\r\nHost: bench\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    latencies: list[float] = []
    refused = 0

    async def send(due: float) -> None:
        nonlocal refused
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer)
        assert length is not None
        await reader.readexactly(int(length[1]))
        if answer.startswith(b"HTTP/1.1 200"):
            latencies.append(time.perf_counter() - due)
        else:
            assert answer.startswith(b"HTTP/1.1 429"), answer
            refused += 1
        free.append((reader, writer))

    chance = random.Random(0)
    begin = due = time.perf_counter()
    sent = 0
    async with asyncio.TaskGroup() as group:
        while due < begin + seconds:
            await asyncio.sleep(max(0, due - time.perf_counter()))
            group.create_task(send(due))
            sent += 1
            due += chance.expovariate(requests_per_second)
    seconds_in_all = time.perf_counter() - begin
    for _, writer in free:
        writer.close()
    return Answers(sent, refused, seconds_in_all, sorted(latencies))
