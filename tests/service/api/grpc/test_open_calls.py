"""How many calls may be open at once, and on one connection."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from harmgauge.api.grpc import open_calls as module
from harmgauge.api.grpc.open_calls import OpenCalls
from harmgauge.errors import Overloaded


def opened(calls: OpenCalls, connection: str, number: int) -> list[ExitStack]:
    found = []
    for _ in range(number):
        found.append(ExitStack())
        calls.begin(connection, found[-1])
    return found


def test_one_connection_may_have_all_but_not_what_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CALLS", 60)
    calls = OpenCalls()
    greedy = opened(calls, "greedy", 60)
    with pytest.raises(Overloaded, match="60 open calls, 60 of them on this connection"):
        calls.begin("greedy", ExitStack())
    modest = opened(calls, "modest", 30)
    with pytest.raises(Overloaded):
        calls.begin("modest", ExitStack())
    many = [call for number in range(10) for call in opened(calls, f"{number}", 16)]
    with pytest.raises(Overloaded):
        calls.begin("0", ExitStack())
    for call in greedy + modest + many:
        call.close()
    assert len(opened(calls, "greedy", 60)) == 60
