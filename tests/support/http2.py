"""Hostile HTTP/2 for gRPC: incomplete messages, no window for responses, thousands of frames."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW = 4

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def message(size: int, data: bytes = b"") -> bytes:
    """A gRPC message that announces `size` bytes but contains the bytes of `data`."""
    return b"\0" + size.to_bytes(4, "big") + data


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Every header as a literal without indexing."""
    found = b""
    for name, value in headers:
        assert len(name) < 127
        assert len(value) < 127
        found += b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
    return found


class Http2:
    """A connection. `window` limits the bytes of each response; `ended` are the streams that have ended, and `closed`
    is whether the connection has.
    """

    def __init__(self, port: int, *, window: int = 65_535) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._came = bytearray()
        self._next_stream = 1
        self._window = 65_535
        self._first_window = 65_535
        self._windows: dict[int, int] = {}
        self.ended: set[int] = set()
        self.closed = False
        self.goaway = b""
        self.answer_bytes = 0
        self.answered_pings = 0
        self.write(PREFACE + frame(SETTINGS, struct.pack(">HI", INITIAL_WINDOW, window)))
        self.listen(0.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        if not self.closed:
            try:
                self._socket.settimeout(10)
                self._socket.sendall(data)
            except OSError:
                self.closed = True

    def call(self, path: str, *, key: str | None = None, data: bytes = b"", ends: bool = False) -> int:
        """Start a call with a few bytes; returns its stream."""
        stream = self._next_stream
        self._next_stream += 2
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
        headers |= {"content-type": "application/grpc"} | ({} if key is None else {"authorization": f"Bearer {key}"})
        self._windows[stream] = self._first_window
        self.write(frame(HEADERS, header_block(headers.items()), flags=END_HEADERS, stream=stream))
        if data or ends:
            self.write(frame(DATA, data, flags=END_STREAM if ends else 0, stream=stream))
            self._windows[stream] -= len(data)
            self._window -= len(data)
        return stream

    def finish(self, stream: int, data: bytes) -> None:
        """Send the rest of a call's message, in pieces that the server's window allows."""
        while data and not self.closed and stream not in self.ended:
            most = max(0, min(len(data), self._windows[stream], self._window, 16_384))
            if most:
                last = END_STREAM if most == len(data) else 0
                self.write(frame(DATA, data[:most], flags=last, stream=stream))
                self._windows[stream] -= most
                self._window -= most
                data = data[most:]
            self.listen(0 if most else 0.05)

    def push(self, streams: list[int], size: int, seconds: float) -> int:
        """Send zeros on each stream, as far as the server's window allows in this time; returns how many were sent."""
        end = time.monotonic() + seconds
        left = dict.fromkeys(streams, size)
        while any(left.values()) and time.monotonic() < end and not self.closed:
            moved = False
            for stream in streams:
                most = min(left[stream], self._windows[stream], self._window, 16_384)
                if most > 0 and stream not in self.ended:
                    self.write(frame(DATA, bytes(most), stream=stream))
                    left[stream] -= most
                    self._windows[stream] -= most
                    self._window -= most
                    moved = True
            self.listen(0 if moved else 0.05)
        return sum(size - rest for rest in left.values())

    def listen(self, seconds: float) -> None:
        """Receive frames for this many seconds, then until no more data are waiting."""
        end = time.monotonic() + seconds
        while not self.closed:
            self._socket.settimeout(max(0.0, end - time.monotonic()) or 1e-4)
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
            self._came += data
            while len(self._came) >= 9 and len(self._came) >= 9 + int.from_bytes(self._came[:3], "big"):
                size = int.from_bytes(self._came[:3], "big")
                self._take(
                    self._came[3],
                    self._came[4],
                    int.from_bytes(self._came[5:9], "big"),
                    bytes(self._came[9 : 9 + size]),
                )
                del self._came[: 9 + size]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at : at + 6])
                if name == INITIAL_WINDOW:
                    for known in self._windows:
                        self._windows[known] += value - self._first_window
                    self._first_window = value
            self.write(frame(SETTINGS, flags=ACK))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream:
                self._windows[stream] += more
            else:
                self._window += more
        elif kind == PING:
            self.answered_pings += bool(flags & ACK)
            if not flags & ACK:
                self.write(frame(PING, payload, flags=ACK))
        elif kind == GOAWAY:
            self.goaway = payload
        elif kind == DATA:
            self.answer_bytes += len(payload)
        if kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self.ended.add(stream)
