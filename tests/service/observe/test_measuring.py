"""Which pictures are sampled, and that measuring them never costs another request anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from harmgauge.bundle.load import load
from harmgauge.drift.columns import columns
from harmgauge.drift.columns.columns import Columns
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.scorer import Scored
from harmgauge.observe import measuring
from harmgauge.observe.feed import MOST_ROWS_PER_SECOND, Feed, Sample
from harmgauge.observe.measuring import keep_measuring, measure
from harmgauge.settings import Settings
from tests.support.toy import instances


def numbered(requests: Sequence[int]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Requests with these numbers of rows, (n, 1) each; the rows are numbered."""
    ends = np.cumsum(requests)
    return [np.arange(end - rows, end)[:, None] for rows, end in zip(requests, ends.tolist(), strict=True)]


def test_every_request_has_the_same_chance_whenever_it_arrives() -> None:
    counts = np.zeros(40)
    for seed in range(2000):
        sample = Sample(5, seed)
        for row in numbered([1] * 40):
            sample.put(row, None)
        (taken, _) = sample.take()
        assert len(taken) == 5
        counts[np.concatenate(taken)[:, 0]] += 1
    assert chisquare(counts).pvalue > 0.001


def test_of_a_request_every_row_has_the_same_chance() -> None:
    counts = np.zeros(30)
    for seed in range(2000):
        sample = Sample(5, seed)
        for rows in numbered([10, 20]):
            sample.put(rows, None)
        counts[np.concatenate(sample.take().pictures)[:, 0]] += 1
    assert (counts[:10].sum(), counts[10:].sum()) == (2000, 2000)
    assert chisquare(counts[:10]).pvalue > 0.001
    assert chisquare(counts[10:]).pvalue > 0.001


def test_a_sample_knows_the_clients_of_its_pictures_and_begins_anew() -> None:
    sample = Sample(3, 0)
    for at, rows in enumerate(numbered([1] * 50)):
        sample.put(rows, ("", str(at)))
    taken = sample.take()
    assert [("", str(int(rows[0, 0]))) for rows in taken.pictures] == taken.clients
    assert sample.take() == ([], [])
    sample.put(np.zeros((1, 1)), None)
    assert len(sample.take().pictures) == 1


def test_one_row_of_a_large_request_does_not_keep_it_in_memory() -> None:
    sample = Sample(3, 0)
    rows = np.zeros((1000, 4))
    sample.put(rows, None)
    (one,) = sample.take().pictures
    assert one.shape == (1, 4)
    assert not np.shares_memory(one, rows)


@pytest.mark.parametrize(("row_size", "rows"), [(1, MOST_ROWS_PER_SECOND), (3 * 32 * 32, 50), (3 * 224 * 224, 3)])
def test_larger_pictures_are_measured_less_often(row_size: int, rows: int) -> None:
    sample = Sample.of(row_size)
    for picture in numbered([1] * 100):
        sample.put(picture, None)
    assert len(sample.take().pictures) == rows
    assert Sample.of(10**9)._size == 1


@pytest.fixture
def found(image_bundle_path: Path) -> Columns:
    columns_of_bundle = columns.from_bundle(load(image_bundle_path), Settings(), seed=0)
    assert columns_of_bundle is not None
    return columns_of_bundle


def answer(feed: Feed, requests: int) -> None:
    for row in instances(requests, (4, 4, 3)):
        scores = np.zeros(1, np.float32)
        scored = Scored(scores, scores > 1, np.zeros(1, np.int64), np.zeros((1, 3), np.float32))
        feed.put(row[None], scored, RequestContext())


@pytest.mark.anyio
async def test_answered_pictures_are_measured_and_counted(found: Columns) -> None:
    sample = Sample(20, 0)
    feed = Feed(sample=sample)
    answer(feed, 300)
    await measure(found, sample, found.resets)
    assert found.view().rows.tolist() == [20] * 5 + [0]
    await measure(found, sample, found.resets)
    assert found.view().rows[0] == 20


@pytest.mark.anyio
async def test_pictures_from_before_an_acknowledgement_are_dropped(found: Columns) -> None:
    sample = Sample(20, 0)
    answer(Feed(sample=sample), 5)
    before = found.resets
    found.reset()
    await measure(found, sample, before)
    answer(Feed(sample=sample), 5)
    task = asyncio.create_task(measure(found, sample, found.resets))
    await asyncio.sleep(0)
    found.reset()
    await task
    assert not found.view().rows.any()


@pytest.mark.anyio
async def test_a_failure_is_logged_and_the_next_sample_measured(
    found: Columns, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(measuring, "INTERVAL_SECONDS", 0.01)
    sample = Sample(20, 0)
    sample.put(np.zeros((1, 2, 2)), None)  # another shape
    task = asyncio.create_task(keep_measuring(found, sample))
    async with asyncio.timeout(10):
        while "could not be measured" not in caplog.text:
            await asyncio.sleep(0.01)
        answer(Feed(sample=sample), 7)
        while found.view().rows[0] < 7:
            await asyncio.sleep(0.01)
    task.cancel()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
