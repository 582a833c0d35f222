"""Requests and batches counted many at once, against prometheus-client's own counters and histograms."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from harmgauge.observe.tallies import MOST_WAITING, ROWS, SECONDS, BatchTally, RequestTally

TIMES = st.one_of(st.sampled_from(SECONDS), st.floats(0, 100))


def exposed(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(
    st.lists(st.tuples(st.sampled_from(["/score", "/info"]), st.sampled_from([200, 429, "OK"]), TIMES), max_size=50),
    st.integers(1, 20),
)
def test_requests(events: list[tuple[str, int | str, float]], scraped_after: int) -> None:
    tally, theirs = RequestTally("m"), CollectorRegistry()
    counter = Counter("harmgauge_requests", "n", ["model", "route", "status"], registry=theirs)
    histogram = Histogram("harmgauge_request_seconds", "t", ["model", "route"], buckets=SECONDS, registry=theirs)
    ours = exposed(tally)
    for number, (route, status, seconds) in enumerate(events):
        tally.answered(route, status, seconds)
        counter.labels("m", route, str(status)).inc()
        histogram.labels("m", route).observe(seconds)
        if number % scraped_after == 0:
            samples(ours)
    assert samples(ours) == pytest.approx(samples(theirs))


@given(st.lists(st.tuples(st.integers(1, 300), st.lists(TIMES, max_size=4), TIMES), max_size=50))
def test_batches(events: list[tuple[int, list[float], float]]) -> None:
    tally, theirs = BatchTally("m"), CollectorRegistry()
    rows = Histogram("harmgauge_batch_rows", "n", ["model"], buckets=ROWS, registry=theirs).labels("m")
    waits = Histogram("harmgauge_queue_seconds", "n", ["model"], buckets=SECONDS, registry=theirs).labels("m")
    runs = Histogram("harmgauge_inference_seconds", "n", ["model"], buckets=SECONDS, registry=theirs).labels("m")
    for event in events:
        tally.batch_finished(*event)
        rows.observe(event[0])
        for seconds in event[1]:
            waits.observe(seconds)
        runs.observe(event[2])
    assert samples(exposed(tally)) == pytest.approx(samples(theirs))


def test_scrapes_on_other_threads_lose_and_repeat_nothing() -> None:
    tally, done = RequestTally("m"), threading.Event()

    def scrape() -> None:
        while not done.is_set():
            tally.counted()

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20 * MOST_WAITING):
        tally.answered("/score", 200, 0.5)
    done.set()
    for thread in threads:
        thread.join()
    counts, total = tally.counted()["/score", 200]
    assert counts.sum() == 20 * MOST_WAITING
    assert total == 10 * MOST_WAITING


def test_without_scrapes_the_memory_is_bounded() -> None:
    tally = BatchTally("m")
    for _ in range(3 * MOST_WAITING + 5):
        tally.batch_finished(1, [0.1], 0.1)
    assert len(tally._waiting) == 5
