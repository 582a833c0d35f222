"""Scores on their way to counters and windows: none lost, none counted twice, in order."""

from __future__ import annotations

import dataclasses
import logging
import time

import numpy as np
import pytest

from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.scorer import Scored
from harmgauge.observe.feed import MAX_FEATURES_BYTES, MAX_REQUESTS, MAX_ROWS, Feed


def scored(*scores: float) -> Scored:
    values = np.array(scores, np.float32)
    return Scored(values, values > 1, values.astype(np.int64), np.zeros((len(scores), 2), np.float32))


def put(feed: Feed, found: Scored, client: str | None = None) -> None:
    feed.put(found.scores, found, RequestContext(client=None if client is None else ("", client)))


def test_whoever_drains_gets_all_of_it_once_and_in_order() -> None:
    seen: list[tuple[Blocks, list[bool], list[int]]] = []
    feed = Feed(lambda blocks, flags, predictions: seen.append((blocks, flags.tolist(), predictions.tolist())))
    feed.drain()
    assert seen == []
    before = time.monotonic()
    put(feed, scored(1, 2))
    put(feed, scored(3), "a")
    assert seen == []
    feed.drain()
    feed.drain()
    ((blocks, flags, predictions),) = seen
    assert blocks.scores.tolist() == [1, 2, 3]
    assert blocks.rows.tolist() == [2, 1]
    assert blocks.clients == (None, ("", "a"))
    assert blocks.features is None
    assert blocks.times is not None
    assert before <= blocks.times[0] <= blocks.times[1] <= time.monotonic()
    assert flags == [False, True, True]
    assert predictions == [1, 2, 3]


def test_features_go_the_same_way_and_count_by_their_bytes() -> None:
    seen: list[Blocks] = []
    feed = Feed(lambda blocks, *_: seen.append(blocks))
    wide = np.arange(2 * 4096, dtype=np.float32).reshape(2, 4096)
    for _ in range(MAX_FEATURES_BYTES // wide.nbytes):
        put(feed, dataclasses.replace(scored(1, 2), features=wide))
    assert len(seen) == 1, "128 requests of 32 KiB are enough"
    assert seen[0].features is not None
    np.testing.assert_array_equal(seen[0].features[-2:], wide)
    assert len(seen[0].features) == len(seen[0].scores)


def test_little_is_kept_whatever_comes() -> None:
    seen: list[int] = []
    feed = Feed(lambda blocks, *_: seen.append(len(blocks.scores)))
    for _ in range(MAX_REQUESTS):
        put(feed, scored(1))
    put(feed, scored(*range(MAX_ROWS)))
    assert seen == [MAX_REQUESTS, MAX_ROWS]


def test_a_watcher_that_fails_costs_nobody_anything(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    seen: list[int] = []
    feed = Feed(broken, lambda blocks, *_: seen.append(len(blocks.scores)))
    with caplog.at_level(logging.ERROR):
        put(feed, scored(1, 2))
        feed.drain()
    assert seen == [2]
    assert "1 requests were not all counted" in caplog.text


def test_what_cannot_be_counted_for_want_of_memory_is_counted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    feed = Feed(lambda blocks, *_: seen.append(len(blocks.scores)))
    put(feed, scored(1, 2))

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np, "concatenate", fail)
        feed.drain()
    put(feed, scored(3))
    feed.drain()
    assert seen == [3]
