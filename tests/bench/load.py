"""Load: wrk for as much as will go, and a stream of requests that waits for no answer."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Load:
    """What a run saw: completed requests a second and latency percentiles."""

    requests_per_second: float
    p50_seconds: float
    p99_seconds: float


def wrk_is_missing() -> bool:
    return shutil.which("wrk") is None


def closed_loop(url: str, body: bytes, media_type: str, connections: int, seconds: float) -> Load:
    """wrk: each connection sends the next request when it has the last one's answer. Raises where one failed."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        script = Path(folder) / "post.lua"
        script.write_text(
            f'local file = io.open("{folder}/body", "rb")\n'
            'wrk.body = file:read("*all")\nfile:close()\nwrk.method = "POST"\n'
            f'wrk.headers["Content-Type"] = "{media_type}"\n'
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script), url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"requests failed:\n{text}")
    percentiles = {
        name: float(value) * UNITS[unit] for name, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(\w+)", text)
    }
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    return Load(float(rate[1]), percentiles["50"], percentiles["99"])


def open_loop(port: int, body: bytes, media_type: str, requests_per_second: float, seconds: float) -> Load:
    """Requests leave at random moments (a Poisson stream), however long the answers to earlier ones take.

    Our own generator: those at hand send in step, eight at once, and so measure a queue of their own making.
    """
    return asyncio.run(_poisson(port, body, media_type, requests_per_second, seconds))


async def _poisson(port: int, body: bytes, media_type: str, requests_per_second: float, seconds: float) -> Load:
    head = f"POST /score HTTP/1.1\r\nHost: bench\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    latencies: list[float] = []

    async def send(due: float) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = re.search(rb"content-length: (\d+)", answer)
        assert length is not None
        await reader.readexactly(int(length[1]))
        latencies.append(time.perf_counter() - due)
        free.append((reader, writer))

    chance = random.Random(0)
    begin = due = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while due < begin + seconds:
            await asyncio.sleep(max(0, due - time.perf_counter()))
            group.create_task(send(due))
            due += chance.expovariate(requests_per_second)
    for _, writer in free:
        writer.close()
    latencies.sort()
    return Load(len(latencies) / seconds, latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)])
