"""Sources: the evidence of the reference functions, names that stay, and acknowledgements."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.stats import beta

from harmgauge.drift.sources.sources import Sources
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name
from tests.support.harm_streams import BASE, BOUND
from tests.support.source_streams import START, Traffic, monitored, names, states


def several(*blocks: Blocks) -> Blocks:
    """All requests in one piece."""
    return Blocks(
        np.concatenate([each.scores for each in blocks]),
        np.concatenate([each.rows for each in blocks]),
        sum((each.clients for each in blocks), ()),
        times=np.concatenate([each.times for each in blocks if each.times is not None]),
        error_probability=np.concatenate(
            [each.error_probability for each in blocks if each.error_probability is not None]
        ),
        sources=sum((each.sources for each in blocks if each.sources is not None), ()),
    )


def test_the_evidence_is_that_of_the_reference_functions() -> None:
    """One source, request by request: the baseline first, then fixed bets; harm from the first request on."""
    reference = np.arange(1.0, 1001.0)
    found = Sources(reference, 10**9, 0.01, BOUND, most=4)
    random = np.random.default_rng(0)
    rows = random.integers(1, 8, 400)
    scores = random.uniform(0, 1001, rows.sum())  # between reference scores: no ties
    scores[-600:] = random.uniform(600, 1001, 600)
    p = random.beta(0.15, 1.9, rows.sum()).astype(np.float32)
    name: Name = ("", "camera")
    found.observe(Blocks(scores, rows, (None,) * 400, error_probability=p, sources=(name,) * 400))

    sizes = np.maximum(1, np.rint(1001 * 0.5 ** np.arange(1, 9)))
    gaps = np.searchsorted(reference, scores)
    inside = np.concatenate([gaps[:, None] > 1000 - sizes, gaps[:, None] < sizes], axis=1)
    stakes = np.array([0.05, 0.15, 0.4])
    harm_stakes = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7])
    wealth, harm, hits, requests = np.zeros((2, 16, 3)), np.zeros(6), [], []
    allowed, worth = None, 0.0
    for begin, size in zip(np.cumsum(rows) - rows, rows, strict=True):
        part = slice(begin, begin + size)
        rows_worth = max(1.0, worth * size)
        staked = np.minimum(1 - (1 - harm_stakes) ** rows_worth, 0.95)
        harm = (harm + size) * (1 + staked * (p[part].astype(float).mean() / BOUND - 1))
        own = inside[part].sum(axis=0)
        if allowed is not None:
            staked = np.minimum(1 - (1 - stakes) ** rows_worth, 0.95)
            wealth = (wealth + size) * (1 - staked + staked * (own / size / allowed)[..., None])
            continue
        hits.append(own)
        requests.append(size)
        n, k = sum(requests), np.sum(hits, axis=0)
        share = k / n
        variance = ((np.array(hits) - np.array(requests)[:, None] * share) ** 2).sum()
        effect = variance / (n * share * (1 - share)).sum()
        if n / max(1, effect) >= 500:
            k = np.ceil(500 * k / n - 1e-3)
            allowed = beta.ppf([[1 - 0.005], [1 - 1e-4 / 16]], k + 1, 500 - k)
            allowed = allowed + 0.01 * (1 - allowed)
            worth = 1 / max(1, effect)
    assert allowed is not None
    (state,) = states(found).values()
    levels = np.array([1, 1, 1, 2, 2, 2, 2, 2]) / 13
    by_half_line = np.minimum(0.8 / 0.995 * wealth[0].mean(axis=-1), 0.2 / 0.005 * wealth[1].mean(axis=-1))
    change = float(np.concatenate([0.8 * levels, 0.2 * levels]) @ by_half_line)
    assert state.change == pytest.approx(change, rel=1e-4)
    assert state.change > 10
    assert state.harm == pytest.approx(harm.mean(), rel=1e-4)
    assert state.evidence == pytest.approx((change + harm.mean()) / 2, rel=1e-4)
    assert state.rows == rows.sum()
    weights = (1 - 1 / 1000) ** np.arange(rows.sum() - 1, -1, -1)
    assert state.accuracy == pytest.approx(1 - np.average(p, weights=weights), abs=0.003)


def test_one_feed_or_many_is_the_same() -> None:
    sources = names(7)
    traffic = Traffic(sources, largest=20, with_p=True)
    parts = [traffic.requests() for _ in range(90)]
    traffic.harmful[:3] = 0.3
    parts += [traffic.requests() for _ in range(30)]
    at_once, piecewise = monitored(with_harm=True), monitored(with_harm=True)
    at_once.observe(several(*parts))
    for part in parts:
        piecewise.observe(part)
    one, other = at_once.view(), piecewise.view()
    assert one.is_settled.all()
    np.testing.assert_allclose(one.change, other.change, rtol=1e-4)
    assert one.harm is not None
    assert other.harm is not None
    np.testing.assert_allclose(one.harm, other.harm, rtol=1e-4)
    np.testing.assert_array_equal(one.is_named, other.is_named)
    assert one.is_named[:3].all()
    assert not one.is_named[3:].any()


def test_requests_without_a_source_are_none_of_its_business() -> None:
    found = monitored()
    before = found.version
    found.observe(Blocks.of(np.ones(50), 1))
    found.observe(Blocks(np.ones(2), np.ones(2, np.intp), (None, None), sources=(None, None)))
    assert (len(found.view()), found.version) == (0, before)
    mixed = Blocks(np.ones(3), np.ones(3, np.intp), (("", "client"),) * 3, sources=(None, ("shop", "a"), None))
    found.observe(mixed)
    found.observe(mixed)
    (state,) = states(found).values()
    assert (state.source, state.rows, state.state, state.accuracy, state.harm) == ("shop: a", 2, "warming", None, None)


def test_harm_is_named_from_the_start_and_stays(caplog: pytest.LogCaptureFixture) -> None:
    found = monitored(with_harm=True)
    traffic = Traffic(names(5, "site"), with_p=True)
    traffic.harmful[2] = 0.3
    for _ in range(20):
        found.observe(traffic.requests(each=10))
    broken = states(found)["site: camera-2"]
    assert (broken.state, broken.cause, broken.since) == ("drifting", "harm", START)
    assert broken.accuracy is not None
    assert broken.accuracy < 1 - BASE - 0.1
    assert [state.state for state in states(found).values()] == ["drifting", *["warming"] * 4], "named ones on top"
    assert found.view().drifting == 1
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1
    assert lines[0].startswith("the source 'site: camera-2' is drifting: its estimate of accuracy is too low")
    traffic.harmful[2] = 0
    found.observe(traffic.requests(each=1500))
    assert states(found)["site: camera-2"].state == "drifting", "what it was is not forgotten"
    assert found.acknowledge("site: camera-2")
    fresh = states(found)["site: camera-2"]
    assert (fresh.state, fresh.cause, fresh.evidence, fresh.accuracy) == ("ok", None, 0, None)
    assert not found.acknowledge("camera-2"), "that of another key, or of none"


def test_change_is_against_its_own_normal() -> None:
    found = monitored(between=1000)
    traffic = Traffic(names(2), offsets=np.array([0.0, 4.0]))
    found.observe(traffic.requests(each=600))
    assert {state.state for state in states(found).values()} == {"ok"}, "two standard deviations off, for ever"
    assert traffic.offsets is not None
    traffic.offsets[1] = 0
    found.observe(traffic.requests(each=200))
    now = states(found)
    assert [(each, now[each].state, now[each].cause) for each in now] == [
        ("camera-1", "drifting", "change"),
        ("camera-0", "ok", None),
    ]
    found.acknowledge("camera-1")
    found.observe(traffic.requests(each=200))
    assert states(found)["camera-1"].state == "drifting", "it is still not what it was"
    found.acknowledge("camera-1", forget_baseline=True)
    assert states(found)["camera-1"].state == "warming"
    found.observe(traffic.requests(each=1000))
    assert states(found)["camera-1"].state == "ok", "the new normal"


def test_an_interval_makes_one_observation_of_a_scene() -> None:
    """Frames that repeat a scene name a source, unless they count once."""
    clock = [0.0]

    def cameras(seconds: float) -> Sources:
        return Sources(
            np.linspace(0, 1, 500), 1000, 0.01, BOUND, most=2, interval_seconds=seconds, clock=lambda: clock[0]
        )

    alone, merged = cameras(0), cameras(60)
    for minute in range(40):
        p = np.full(20, 0.5 if minute % 10 == 9 else 0.03, np.float32)  # a hard scene now and then: .077 on average
        times = 60.0 * minute + np.arange(20.0)
        blocks = Blocks(np.full(20, 0.5), np.ones(20, np.intp), (None,) * 20, times=times, error_probability=p)
        for one in (alone, merged):
            one.observe(Blocks(**{**blocks.__dict__, "sources": (("", "camera"),) * 20}))
    assert [each.view().drifting for each in (alone, merged)] == [1, 0]
    (before,) = states(merged).values()
    assert before.rows == 800
    clock[0] = 60 * 40.0
    version = merged.version
    (after,) = states(merged).values()
    assert after.harm != before.harm, "the last interval is over, although no row has come"
    assert merged.version > version


def test_a_source_that_leaves_takes_its_incomplete_interval_with_it() -> None:
    found = Sources(np.linspace(0, 1, 500), 1000, 0.01, None, most=1, interval_seconds=60, clock=lambda: 0.0)
    for camera in range(3):
        found.observe(
            Blocks(
                np.ones(1), np.ones(1, np.intp), (None,), times=np.array([50.0 * camera]), sources=(("", f"{camera}"),)
            )
        )
    (state,) = states(found).values()
    assert (state.source, state.rows) == ("2", 1)
    assert found.dump()["weight"].tolist() == [0]


def test_the_list_is_for_now_and_names_are_for_ever() -> None:
    found = monitored(between=10**6, with_harm=True)
    traffic = Traffic(names(100), with_p=True)
    traffic.harmful[:20] = 0.3
    while (view := found.view()).is_listed.sum() < 10:
        found.observe(traffic.requests())
    assert view.drifting < 10, "several together are listed earlier than each is named"
    assert not view.is_listed[20:].any()


def test_selecting() -> None:
    found = monitored(with_harm=True, between=1000)
    traffic = Traffic(names(30, "shop") + names(3, "site"), with_p=True)
    traffic.harmful[[4, 31]] = 0.9
    for each in (1, 2, 50):
        found.observe(traffic.requests(each))
    found.observe(Traffic((("site", "camera-0"),), with_p=True).requests(9))
    view = found.view()
    chosen = view.states(view.select("evidence", "drifting"))
    assert {state.source for state in chosen} == {"shop: camera-4", "site: camera-1"}
    assert chosen[0].evidence >= chosen[1].evidence
    assert [state.source for state in view.states(view.select("source", prefix="site"))] == [
        "site: camera-0", "site: camera-1", "site: camera-2",
    ]  # fmt: skip
    assert view.states(view.select("rows"))[0].source == "site: camera-0"
    lowest = [state.accuracy for state in view.states(view.select("accuracy"))]
    assert lowest[-1] is None
    assert len(view.select("rows", "warming")) == 31
    assert not len(view.select("rows", "ok"))
