"""The token bucket, compared with its specification."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.auth.rate_limit import RateLimit, Rates, TokenBucket
from harmgauge.errors import RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def takes(bucket: TokenBucket, rows: int) -> bool:
    try:
        bucket.take(rows)
    except RateLimited:
        return False
    return True


@given(
    rate=st.floats(0.01, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5000)), min_size=1, max_size=60),
)
def test_no_stretch_of_time_gets_more_than_was_promised(rate: float, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, "scored rows", clock)
    let_through: list[tuple[float, int]] = []
    for pause, rows in steps:
        clock.now += pause
        if takes(bucket, rows):
            let_through.append((clock.now, rows))
    for begin in range(len(let_through)):
        for end in range(begin, len(let_through)):
            rows_within = [rows for _, rows in let_through[begin : end + 1]]
            seconds = let_through[end][0] - let_through[begin][0]
            promised = rate * seconds + max(bucket.capacity, *rows_within, 0)
            assert sum(rows_within) <= promised * (1 + 1e-6) + 1e-6


@given(rate=st.floats(0.01, 1e5), rows=st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_who_waits_as_long_as_it_is_told_is_let_through(rate: float, rows: list[int]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, "scored rows", clock)
    for count in rows:
        try:
            bucket.take(count)
        except RateLimited as error:
            clock.now += error.retry_after_seconds or 0
            bucket.take(count)


def test_a_steady_client_at_the_rate_is_never_refused() -> None:
    clock = Clock()
    bucket = TokenBucket(10, "scored rows", clock)
    for _ in range(1000):
        bucket.take(1)
        clock.now += 0.1


def test_a_refusal_costs_nothing_and_says_when() -> None:
    clock = Clock()
    bucket = TokenBucket(2, "scored rows", clock)
    bucket.take(2)
    for rows, seconds in ((1, 1), (2, 1), (50, 1)):
        with pytest.raises(RateLimited) as refused:
            bucket.take(rows)
        assert refused.value.retry_after_seconds == seconds
    with pytest.raises(RateLimited):
        bucket.check()
    clock.now += 1
    bucket.check()
    bucket.take(50)  # full, so it passes, on credit
    with pytest.raises(RateLimited) as refused:
        bucket.check()
    assert refused.value.retry_after_seconds == math.ceil(49 / 2)


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    clock = Clock()
    bucket = TokenBucket(1, "scored rows", clock)
    bucket.take(1)
    clock.now -= 100
    assert not takes(bucket, 1)
    clock.now += 1
    bucket.take(1)


def test_a_request_is_refused_by_its_head_once_anything_it_needs_is_used_up() -> None:
    limit = RateLimit(Rates(rows=1e-3, requests=3, body_bytes=1e-3))
    limit.begin(scores=True)
    limit.take_bytes(1000)
    with pytest.raises(RateLimited, match=r"0\.001 body bytes per second"):
        limit.begin(scores=True)
    limit.begin(scores=False)
    with pytest.raises(RateLimited, match="3 requests per second"):
        limit.begin(scores=False)
    rows_only = RateLimit(Rates(rows=1))
    rows_only.take_bytes(10**9)
    rows_only.take_rows(1)
    with pytest.raises(RateLimited, match="1 scored rows per second"):
        rows_only.begin(scores=True)
