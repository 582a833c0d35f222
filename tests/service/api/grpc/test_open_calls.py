"""The number of calls that may be open, in total and per connection."""

from __future__ import annotations

import pytest

from harmgauge.api.grpc import open_calls as module
from harmgauge.api.grpc.open_calls import OpenCalls
from harmgauge.errors import Overloaded


def open_some(calls: OpenCalls, connection: str, number: int) -> None:
    for _ in range(number):
        calls.begin(connection)


def test_one_connection_may_have_all_but_not_what_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CALLS", 60)
    calls = OpenCalls()
    open_some(calls, "greedy", 60)
    with pytest.raises(Overloaded, match="60 calls are open, 60 of them on this connection"):
        calls.begin("greedy")
    open_some(calls, "modest", 30)
    with pytest.raises(Overloaded):
        calls.begin("modest")
    for number in range(10):
        open_some(calls, f"{number}", 16)
    with pytest.raises(Overloaded):
        calls.begin("0")
    for connection, number in [("greedy", 60), ("modest", 30), *((f"{number}", 16) for number in range(10))]:
        for _ in range(number):
            calls.end(connection)
    open_some(calls, "greedy", 60)
