"""A client counts once among recent requests, before and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.drift.harm import Harm
from harmgauge.drift.recent_clients import MEMORY_REQUESTS, RecentClients
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name

NAMES = st.one_of(st.none(), st.tuples(st.sampled_from(["", "a", "ab"]), st.sampled_from(["b", "c", "bc"])))
REFERENCE = np.sort(np.random.default_rng(0).normal(size=200))


def requests(clients: Sequence[Name | None]) -> Blocks:
    scores = np.zeros(len(clients))
    chances = np.full(len(clients), 0.1, np.float32)
    return Blocks(scores, np.ones(len(clients), np.intp), tuple(clients), error_probability=chances)


@given(before=st.lists(NAMES, max_size=30), after=st.lists(NAMES, max_size=30))
def test_a_restart_changes_nothing(before: list[Name | None], after: list[Name | None]) -> None:
    stayed = RecentClients()
    stayed.once_each(requests(before))
    restarted = RecentClients.read({"clients": stayed.dump()}, "clients")
    assert restarted.once_each(requests(after)).clients == stayed.once_each(requests(after)).clients


def test_the_memory_ends_after_a_thousand_requests_even_across_a_restart() -> None:
    clients = RecentClients()
    clients.once_each(requests([("", "a")]))
    clients.once_each(requests([None] * (MEMORY_REQUESTS - 1)))
    clients = RecentClients.read({"clients": clients.dump()}, "clients")
    assert len(clients.dump()) == MEMORY_REQUESTS
    clients.once_each(requests([None]))
    assert clients.once_each(requests([("", "a")])).clients == (("", "a"),), "forgotten"
    assert not clients.once_each(requests([("", "a")])).clients


def test_names_of_different_keys_differ_and_are_not_saved() -> None:
    clients = RecentClients()
    assert len(clients.once_each(requests([("a", "bc"), ("ab", "c"), ("", "abc")])).clients) == 3
    assert b"abc" not in clients.dump().tobytes()


@pytest.mark.parametrize("kind", [ScoreEvidence, Harm])
def test_a_burst_that_spans_a_restart_counts_once(kind: type[ScoreEvidence | Harm]) -> None:
    def made() -> ScoreEvidence | Harm:
        return ScoreEvidence(REFERENCE, 10_000, 0.01) if kind is ScoreEvidence else Harm(0.07, 0.09, 500, 10_000)

    before, after = made(), made()
    before.observe(requests([("", "camera")]))
    after.restore(dict(before.dump()))
    after.observe(requests([("", "camera")] * 50 + [("", "other")]))
    assert asyncio.run(after.state()).rows == 2
