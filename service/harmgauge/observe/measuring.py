"""Measures the sampled pictures on a thread, so that no answer waits for it."""

from __future__ import annotations

import asyncio
import logging

import numpy as np

from harmgauge.drift.columns.columns import Columns
from harmgauge.observe.feed import INTERVAL_SECONDS, Sample

log = logging.getLogger(__name__)


async def keep_measuring(columns: Columns, sample: Sample) -> None:
    """Measure the sample of each interval, until cancelled."""
    resets = columns.resets
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            await measure(columns, sample, resets)
        except Exception:  # the next sample may succeed
            log.exception("the sampled pictures could not be measured")
        resets = columns.resets


async def measure(columns: Columns, sample: Sample, resets: int) -> None:
    """Measure the pictures that were sampled since the last time, when all columns had been acknowledged `resets`
    times, and bet on them. They are dropped if that has happened again: some of them were answered before it.
    """
    taken = sample.take()
    if columns.resets != resets or not taken.pictures:
        return
    values = await asyncio.to_thread(lambda: columns.values.measured(np.concatenate(taken.pictures)))
    if columns.resets == resets:
        columns.observe_measures(values, taken.clients)
