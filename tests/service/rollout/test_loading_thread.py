"""A load that hangs is abandoned, and the next one proceeds."""

from __future__ import annotations

import threading

import pytest

from harmgauge.errors import BundleError
from harmgauge.rollout.loading_thread import LoadingThread
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def test_calls_run_on_one_thread_and_raise_as_they_do() -> None:
    loading = LoadingThread(10)
    first = await loading.run("reading it", threading.get_ident)
    assert first == await loading.run("reading it", threading.get_ident) != threading.get_ident()

    def fail() -> None:
        raise BundleError("no file")

    with pytest.raises(BundleError, match="no file"):
        await loading.run("reading it", fail)
    assert loading.hanging is None


async def test_one_that_hangs_is_named_until_it_ends_and_its_result_undone() -> None:
    loading, release, undone = LoadingThread(0.05), threading.Event(), list[str]()

    def hang() -> str:
        release.wait()
        return "made"

    with pytest.raises(BundleError, match=r"reading it has taken 0.05 s and cannot be stopped; /livez fails"):
        await loading.run("reading it", hang, undone.append)
    assert loading.hanging == "reading it"
    assert await loading.run("reading another", lambda: 5) == 5
    release.set()
    await until(lambda: loading.hanging is None)
    assert undone == ["made"]
