"""Scores on their way to counters and windows: none lost, none twice, in order."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from service.drift.state import Blocks
from service.inference.detector import Scored
from service.observe.feed import MAX_REQUESTS, MAX_ROWS, Feed


def scored(*scores: float) -> Scored:
    values = np.array(scores, np.float32)
    return Scored(values, values > 1, np.zeros(len(scores), np.int64), np.zeros((len(scores), 2), np.float32))


def test_whoever_drains_gets_all_of_it_once_and_in_order() -> None:
    seen: list[tuple[Blocks, list[bool]]] = []
    feed = Feed([lambda blocks, flags: seen.append((blocks, flags.tolist()))])
    feed.drain()
    assert seen == []
    feed.put(scored(1, 2), None)
    feed.put(scored(3), "a")
    assert seen == []
    feed.drain()
    feed.drain()
    ((blocks, flags),) = seen
    assert blocks.scores.tolist() == [1, 2, 3]
    assert blocks.rows.tolist() == [2, 1]
    assert blocks.clients == (None, "a")
    assert flags == [False, True, True]


def test_little_is_kept_whatever_comes() -> None:
    seen: list[int] = []
    feed = Feed([lambda blocks, _: seen.append(len(blocks.scores))])
    for _ in range(MAX_REQUESTS):
        feed.put(scored(1), None)
    feed.put(scored(*range(MAX_ROWS)), None)
    assert seen == [MAX_REQUESTS, MAX_ROWS]


def test_a_watcher_that_fails_costs_nobody_anything(caplog: pytest.LogCaptureFixture) -> None:
    def broken(blocks: Blocks, flags: object) -> None:
        raise RuntimeError("broken")

    seen: list[int] = []
    feed = Feed([broken, lambda blocks, _: seen.append(len(blocks.scores))])
    with caplog.at_level(logging.ERROR):
        feed.put(scored(1, 2), None)
        feed.drain()
    assert seen == [2]
    assert "1 requests were not all counted" in caplog.text
