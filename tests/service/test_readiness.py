"""Readiness for requests and the need for a restart, independently of each other."""

from __future__ import annotations

import pytest

from harmgauge.errors import NotAlive, NotReady
from harmgauge.readiness import Readiness


def test_it_takes_work_from_start_to_drain() -> None:
    readiness = Readiness()
    with pytest.raises(NotReady, match="starting"):
        readiness.check()
    readiness.check_alive()
    readiness.ready()
    readiness.check()
    readiness.draining()
    with pytest.raises(NotReady, match="draining") as refusal:
        readiness.check()
    assert refusal.value.closes
    readiness.check_alive()


def test_a_failure_wants_a_restart_and_ends_the_work_only_where_there_is_no_worker_left() -> None:
    readiness = Readiness()
    readiness.ready()
    readiness.works("short of a worker", takes_work=True)
    readiness.check()
    with pytest.raises(NotAlive, match="short of a worker"):
        readiness.check_alive()
    readiness.works("short of all", takes_work=False)
    with pytest.raises(NotReady, match="short of all"):
        readiness.check()
    readiness.works(None, takes_work=True)
    readiness.check()
    readiness.check_alive()


def test_a_look_at_inference_ends_neither_start_nor_drain() -> None:
    readiness = Readiness()
    readiness.works(None, takes_work=True)
    assert readiness.reason == "starting"
    readiness.works("broken", takes_work=False)
    readiness.ready()
    assert readiness.reason == "broken", "found before it listened"
    readiness.draining()
    readiness.works(None, takes_work=True)
    assert "draining" in (readiness.reason or "")


def test_a_lame_duck_takes_work_and_says_that_it_wants_none() -> None:
    readiness = Readiness()
    readiness.ready()
    readiness.check_ready()
    readiness.leaving()
    readiness.check()
    with pytest.raises(NotReady, match="leaving"):
        readiness.check_ready()
    readiness.works("broken", takes_work=False)
    with pytest.raises(NotReady, match="broken"):
        readiness.check_ready()
    readiness.draining()
    with pytest.raises(NotReady, match="draining"):
        readiness.check()


def test_one_that_was_told_to_stop_as_it_started_does_not_become_ready() -> None:
    readiness = Readiness()
    readiness.draining()
    readiness.ready()
    with pytest.raises(NotReady, match="draining"):
        readiness.check()
    leaving = Readiness()
    leaving.leaving()
    leaving.ready()
    leaving.check()
    with pytest.raises(NotReady, match="leaving"):
        leaving.check_ready()
