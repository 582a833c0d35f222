"""The fleet's alarm on harm, by promtool: its sums worked out by hand, and everything that may happen to a fleet."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.harm_fleet import STAKES, Values, betting, judged
from tests.support.scenario import Series, check_alert_text, check_alerts, check_course, one_after_the_other, replica

SUM = "fleet:harmgauge_harm_log:cusum"
HARM = "HarmgaugeHarm"
LIMIT = math.log(6e6)
"""Of a million rows between false alarms: 15.6."""


def course(folder: Path, *replicas: Series, values: Values, expression: str = SUM) -> None:
    check_course(folder, *replicas, expression=expression, values=values)


def test_the_sum_of_two_replicas_is_that_worked_out_by_hand(tmp_path: Path) -> None:
    """Minute by minute they gain, together, 3 - 1, then 1 - 4 (no less than 0), then 0.5 + 2 - 0.25."""
    a = betting("a", [0, 2, 2, 2.5, 2.5], [0, 1, 4, 4, 4])
    b = betting("b", [0, 1, 2, 4, 4], [0, 0, 1, 1.25, 1.25])
    course(tmp_path, a, b, values=[0, 2, 0, 2.25, 2.25])


def test_what_a_replica_counted_before_the_rules_began_is_not_counted(tmp_path: Path) -> None:
    course(tmp_path, betting("a", [900, 900, 903], [100, 101, 101]), values=[0, 0, 3])


def test_the_largest_of_the_stakes_sums_decides(tmp_path: Path) -> None:
    """Each stake has its own: a small one may go on where a large one has fallen to 0."""
    small = betting("a", [0, 1, 1, 2], [0, 0, 0.5, 0.5], stake="0.02")
    large = betting("a", [0, 5, 5, 6], [0, 0, 9, 9], stake="0.7")
    course(tmp_path, small | large, values=[0, 5, 0.5, 1.5])
    course(tmp_path, small | large, values=[0, 5, 0, 1], expression='fleet_stake:harmgauge_harm_log:cusum{stake="0.7"}')


def test_a_restarted_replica_counts_from_zero(tmp_path: Path) -> None:
    course(tmp_path, betting("a", [0, 4, 1, 3], [0, 1, 0.5, 0.5]), values=[0, 3, 3.5, 5.5])
    # It may have lost more already than the process before it had: both counters are of the new one all the same.
    course(tmp_path, betting("a", [0, 4, 3, 4], [0, 2, 2.5, 2.5]), values=[0, 2, 2.5, 3.5])
    # Down for some scrapes between.
    course(
        tmp_path,
        betting("a", [0, 4, None, None, 1, 3], [0, 1, None, None, 0.5, 0.5]),
        betting("b", [0] * 6, [0] * 6),
        values=[0, 3, 3, 3, 3.5, 5.5],
    )


def test_missed_scrapes_are_made_up_for_once(tmp_path: Path) -> None:
    idle = betting("b", [0] * 7, [0] * 7)
    a = betting("a", [0, 4, None, None, None, 7, 8], [0, 1, None, None, None, 2, 2])
    course(tmp_path, a, idle, values=[0, 3, 3, 3, 3, 5, 6])
    course(tmp_path, a, values=[0, 3, None, None, None, 5, 6])


def test_a_replica_that_joins_counts_from_its_start_and_one_that_leaves_takes_nothing_along(tmp_path: Path) -> None:
    a = betting("a", [0, 4, 5, None, None, None], [0, 1, 1, None, None, None])
    b = betting("b", [None, None, 2, 3, 3, 3], [None, None, 0.5, 0.5, 0.5, 1.5])
    course(tmp_path, a, b, values=[0, 3, 5.5, 6.5, 6.5, 5.5])


def test_a_rollout_goes_on_with_the_sum(tmp_path: Path) -> None:
    """On another address, and in place."""
    old = betting("a", [0, 4, 5, None, None], [0, 1, 1, None, None])
    fresh: list[Values] = [[None, None, None, 2, 3], [None, None, None, 0.5, 0.5]]
    course(tmp_path, old, betting("b", *fresh), values=[0, 3, 4, 5.5, 6.5])
    course(tmp_path, one_after_the_other(old, betting("a", *fresh)), values=[0, 3, 4, 5.5, 6.5])


def test_a_fleet_that_nobody_scraped_for_more_than_an_hour_begins_anew(tmp_path: Path) -> None:
    """Within the hour it goes on: Prometheus may be down as long."""
    for minutes, then in ((59, 8), (61, 0)):
        gap = [None] * (minutes - 1)
        a = betting("a", [0, 4, *gap, 9, 10], [0, 0, *gap, 1, 1])
        course(tmp_path, a, values=[0, 4, *gap, then, then + 1])


def test_one_replica_that_comes_back_after_more_than_an_hour_goes_on_from_where_it_is(tmp_path: Path) -> None:
    """What it counted before is in the sum already. A new replica of that moment counts from 0."""
    gap = [None] * 70
    back = betting("a", [0, 4, 4, *gap, 9, 10], [0, 0, 0, *gap, 1, 1])
    new = betting("c", [None, None, None, *gap, 2, 3], [None, None, None, *gap, 0, 0])
    idle = betting("b", [0] * 75, [0] * 75)
    course(tmp_path, back, new, idle, values=[0, *[4] * 72, 6, 8])


def test_an_acknowledgement_at_any_replica_clears_the_sum(tmp_path: Path) -> None:
    """One after the other, within minutes: what is gained between two of them goes with the second."""
    a = betting("a", [0, 9, 10, 11, 12, 13, 14], [0] * 7, resets=[3, 3, 4, 4, 4, 4, 4])
    b = betting("b", [0, 9, 9, 9, 10, 10, 10], [0] * 7, resets=[0, 0, 0, 0, 1, 1, 1])
    course(tmp_path, a, b, values=[0, 18, 0, 1, 0, 1, 2])


def test_an_acknowledgement_during_missed_scrapes_takes_effect_once_seen(tmp_path: Path) -> None:
    a = betting("a", [0, 9, None, None, 60, 61], [0, 0, None, None, 0, 0], resets=[0, 0, 0, 0, 1, 1])
    b = betting("b", [0] * 6, [0] * 6)
    course(tmp_path, a, b, values=[0, 9, 9, 9, 0, 1])


def test_a_restart_is_no_acknowledgement(tmp_path: Path) -> None:
    a = betting("a", [0, 9, 1, 2], [0] * 4, resets=[2, 2, 0, 0])
    course(tmp_path, a, values=[0, 9, 10, 11])


@pytest.mark.parametrize("label", ["model", "namespace", "job"])
def test_fleets_that_share_a_prometheus_do_not_mix(label: str, tmp_path: Path) -> None:
    one, two = {label: "one"}, {label: "two"}
    replicas = betting("a", [0, 4, 5], [0, 1, 1], **one), betting("a", [0, 7, 8], [0] * 3, resets=[0, 0, 1], **two)
    course(tmp_path, *replicas, values=[0, 3, 4], expression=f'{SUM}{{{label}="one"}}')
    course(tmp_path, *replicas, values=[0, 7, 0], expression=f'{SUM}{{{label}="two"}}')


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_every_bet_that_was_scraped_counts_exactly_once(seed: int, tmp_path: Path) -> None:
    """Five replicas that start, miss scrapes, restart, leave and are acknowledged at random, with all six stakes."""
    random, minutes = np.random.default_rng(seed), 50
    gained = np.zeros((minutes, len(STAKES)))  # what becomes known in each minute
    acknowledged = np.zeros(minutes, bool)
    replicas = []
    for name in "abcde":
        start, end = (0, minutes) if name == "a" else (int(random.integers(0, 20)), int(random.integers(30, 60)))
        counted, seen = np.zeros((2, len(STAKES))), np.zeros((2, len(STAKES)))
        resets, resets_seen = 0, 0
        series: list[list[list[float | None]]] = [[[], []] for _ in STAKES]
        of_resets: list[int] = []
        for minute in range(minutes):
            runs = start <= minute < end
            if runs and (seen > 6).all() and random.random() < 0.2:  # what was not scraped of the old process is lost
                counted, seen, resets, resets_seen = np.zeros_like(counted), np.zeros_like(seen), 0, 0
            counted = counted + runs * random.exponential(1.0, counted.shape)
            resets += runs and random.random() < 0.02
            scraped = runs and (name == "a" or random.random() < 0.8)
            if scraped:
                gained[minute] += np.diff(seen - counted, axis=0)[0] * (minute > 0)
                acknowledged[minute] |= resets > resets_seen and minute > 0
                seen, resets_seen = counted, resets
            for stake, pair in enumerate(series):
                for sign in range(2):
                    pair[sign].append(float(counted[sign, stake]) if scraped else None)
            of_resets.append(resets)
        made: Series = {}
        for stake, (gains, losses) in zip(STAKES, series, strict=True):
            made |= betting(name, gains, losses, stake=stake, resets=of_resets)
        replicas.append(made)
    sums = np.zeros((minutes, len(STAKES)))
    for minute in range(1, minutes):
        sums[minute] = 0 if acknowledged[minute] else np.maximum(0, sums[minute - 1] + gained[minute])
    assert acknowledged.any()
    assert (sums > 0).mean() > 0.2
    for stake, expected in zip(STAKES, sums.T, strict=True):
        expression = f'fleet_stake:harmgauge_harm_log:cusum{{stake="{stake}"}}'
        course(tmp_path, *replicas, values=expected.tolist(), expression=expression)
    course(tmp_path, *replicas, values=sums.max(1).tolist())


def at(minute: int, gain: float, minutes: int = 31) -> list[float]:
    return [gain if now >= minute else 0.0 for now in range(minutes)]


IDLE = betting("b", [0] * 31, [0] * 31)
FIRED = (judged("a", 30, 3, 2.5), judged("b", 0, 0, 0), betting("a", at(10, LIMIT + 0.001), [0] * 31), IDLE)


def test_the_alarm_fires_at_the_limit_of_the_whole_fleet_and_not_below(tmp_path: Path) -> None:
    below = betting("a", at(10, LIMIT - 0.001), [0] * 31), IDLE
    check_alerts(tmp_path, *below, minute=30, fired=set())
    check_alerts(tmp_path, *FIRED, minute=9, fired=set())
    check_alerts(tmp_path, *FIRED, minute=10, fired={HARM})
    halves = (betting(name, at(10, LIMIT / 2 + 0.001), [0] * 31) for name in "ab")
    check_alerts(tmp_path, *halves, minute=10, fired={HARM})


def test_the_most_careful_replica_sets_the_limit(tmp_path: Path) -> None:
    careful = betting("b", [0] * 31, [0] * 31, rows_between_false_alarms=2_000_000)
    check_alerts(tmp_path, betting("a", at(10, LIMIT + 0.6), [0] * 31), careful, minute=30, fired=set())
    check_alerts(tmp_path, betting("a", at(10, LIMIT + 0.7), [0] * 31), careful, minute=30, fired={HARM})


def test_one_replicas_own_alarm_is_the_fleets_as_well(tmp_path: Path) -> None:
    own = betting("a", [0] * 31, [0] * 31, detected=[int(minute >= 10) for minute in range(31)])
    check_alerts(tmp_path, own, IDLE, minute=9, fired=set())
    check_alerts(tmp_path, own, IDLE, minute=10, fired={HARM})


def test_the_alarm_says_how_accurate_the_model_is_now(tmp_path: Path) -> None:
    of_two = (
        judged("a", 30, 6, 2.5, namespace="n"),
        betting("a", at(10, LIMIT + 0.001), [0] * 31, namespace="n"),
        judged("a", 30, 3, 2.5, model="other"),
    )
    now = " By the last 10 minutes the accuracy is estimated as {}; on the calibration rows it was 93%"
    texts: list[tuple[tuple[Series, ...], str, dict[str, str]]] = [
        (FIRED, now.format("90%"), {}),
        (FIRED[2:], "", {}),
        (of_two, now.format("80%"), {"namespace": "n"}),
    ]
    for replicas, text, labels in texts:
        evidence = "passed what chance gives once in the rows asked for, over the whole fleet or on a replica"
        check_alert_text(
            tmp_path,
            *replicas,
            alert=HARM,
            labels={"job": "harmgauge", "model": "m", "severity": "critical"} | labels,
            annotations={
                "summary": "The estimate of accuracy of m has fallen by more than its tolerance",
                "description": f"The evidence that the inputs do harm has {evidence}.{text + '.' if text else ''}",
                "runbook_url": "docs/runbook.md#harmgaugeharm",
            },
        )


def test_the_alarm_outlives_a_missed_scrape_and_ends_after_it_was_acknowledged(tmp_path: Path) -> None:
    gains: Values = [None if minute in (12, 13) else gain for minute, gain in enumerate(at(10, LIMIT + 1))]
    acknowledged = betting("a", gains, [0] * 31, resets=[int(minute >= 18) for minute in range(31)])
    firing = [None if minute < 10 or minute > 27 else 1.0 for minute in range(31)]
    expression = f'ALERTS{{alertname="{HARM}", alertstate="firing"}}'
    course(tmp_path, acknowledged, IDLE, values=firing, expression=expression)


def evident(instance: str, has_harm: bool, **labels: Any) -> Series:
    """A replica with evidence of a change, and with or without a detector of harm, which is silent."""
    found = replica(instance, evidence=2e6, **labels)
    return found | (betting(instance, [0] * 31, [0] * 31, **labels) if has_harm else {})


@pytest.mark.parametrize(
    ("replicas", "severity"),
    [
        ((evident("a", True), evident("b", True)), "warning"),
        ((evident("a", False), evident("b", False)), "critical"),
        ((evident("a", True), evident("b", False)), "critical"),
        ((evident("a", True), evident("b", False, model="other")), "warning"),
    ],
    ids=["all can tell harm", "none can", "a rollout", "another model cannot"],
)
def test_evidence_of_a_change_pages_only_while_a_replica_cannot_tell_harm(
    replicas: tuple[Series, ...], severity: str, tmp_path: Path
) -> None:
    alerts = 'ALERTS{alertname="HarmgaugeFleetDriftEvidence", model="m", alertstate="firing"}'
    for expression in (f"count({alerts})", f"""count({alerts.replace("model", f'severity="{severity}", model')})"""):
        course(tmp_path, *replicas, values=[1.0] * 31, expression=expression)
