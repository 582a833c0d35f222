"""The alarm on harm of a fleet, by promtool: sums worked out by hand, and everything that may happen to a fleet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.harm_fleet import STAKES, Values, betting, judged
from tests.support.scenario import Series, check_alert_text, check_alerts, check_course, one_after_the_other, replica

EVIDENCE = "fleet:harmgauge_harm:evidence"
HARM = "HarmgaugeHarm"
ASKED = 1_000_000


def course(folder: Path, *replicas: Series, values: Values, expression: str = EVIDENCE) -> None:
    check_course(folder, *replicas, courses={expression: values})


def doubling(instance: str, gains: Values, losses: Values, rows: Sequence[float], **more: Any) -> Series:
    """A replica whose counters are given in doublings of wealth: 1 is ln 2."""
    gains, losses = ([None if one is None else one * math.log(2) for one in values] for values in (gains, losses))
    return betting(instance, gains, losses, rows, **more)


def test_the_evidence_of_two_replicas_is_that_worked_out_by_hand(tmp_path: Path) -> None:
    """60 + 40 rows join; then wealth doubles twice and halves once, 10 + 5 rows join; then it halves three times."""
    a = doubling("a", [0, 0, 2, 2, 2], [0, 0, 0, 1, 1], [0, 60, 70, 70, 70])
    b = doubling("b", [0, 0, 0, 0, 0], [0, 0, 1, 3, 3], [0, 40, 45, 45, 46])
    course(tmp_path, a, b, values=[0, 100, 2 * 100 + 15, 215 / 8, 215 / 8 + 1])


def test_the_bets_before_rows_join_are_not_theirs(tmp_path: Path) -> None:
    """The number of rows may depend on their content, so the rows of a scrape cannot bet on themselves."""
    course(tmp_path, doubling("a", [0, 5, 6], [0, 0, 0], [0, 10, 11]), values=[0, 10, 2 * 10 + 1])


def test_what_a_replica_counted_before_the_rules_began_is_not_counted(tmp_path: Path) -> None:
    course(tmp_path, doubling("a", [900, 900, 903], [100, 101, 101], [5000, 5004, 5004]), values=[0, 4, 8 * 4])


def test_the_evidence_is_the_mean_of_the_stakes_wealth(tmp_path: Path) -> None:
    small = doubling("a", [0, 0, 1, 2], [0, 0, 0, 0], [0, 10, 10, 10], stake="0.02")
    large = doubling("a", [0, 0, 5, 5], [0, 0, 0, 9], [0, 10, 10, 10], stake="0.7")
    course(tmp_path, small | large, values=[0, 10, (20 + 320) / 2, (40 + 320 / 512) / 2])
    wealth = 'fleet_stake:harmgauge_harm:wealth{stake="0.7"}'
    course(tmp_path, small | large, values=[0, 10, 320, 320 / 512], expression=wealth)


def test_a_restarted_replica_counts_from_zero(tmp_path: Path) -> None:
    a = doubling("a", [0, 0, 4, 1, 3], [0, 0, 1, 0.5, 0.5], [0, 10, 20, 7, 7])
    course(tmp_path, a, values=[0, 10, 90, 90 * 2**0.5 + 7, 4 * (90 * 2**0.5 + 7)])
    # One counter of the new process may already exceed the old process's: all three belong to the new one.
    for new in ([4.5, 0.5, 7], [1, 2, 7], [1, 0.5, 25]):
        ends = [4.5, 1, 25]
        series = doubling("a", [0, 0, 4, new[0], ends[0]], [0, 0, 1, new[1], new[1]], [0, 10, 20, new[2], new[2]])
        now = 90 * 2 ** (new[0] - new[1]) + new[2]
        course(tmp_path, series, values=[0, 10, 90, now, now * 2 ** (ends[0] - new[0])])


def test_missed_scrapes_are_made_up_for_once(tmp_path: Path) -> None:
    """Even if the process has been replaced by then."""
    idle = doubling("b", [0] * 7, [0] * 7, [0] * 7)
    gap = [None] * 3
    a = doubling("a", [0, 0, *gap, 3, 4], [0, 0, *gap, 1, 1], [0, 10, 0, 0, 0, 15, 15])
    course(tmp_path, a, idle, values=[0, 10, 10, 10, 10, 45, 90])
    course(tmp_path, a, values=[0, 10, *gap, 45, 90])
    a = doubling("a", [0, 0, *gap, 3, 4], [0, 0, *gap, 1, 1], [0, 10, 0, 0, 0, 9, 9])
    course(tmp_path, a, idle, values=[0, 10, 10, 10, 10, 49, 98])


def test_a_replica_that_joins_counts_from_its_start_and_one_that_leaves_takes_nothing_along(tmp_path: Path) -> None:
    gone = [None] * 3
    a = doubling("a", [0, 0, 1, *gone], [0, 0, 0, *gone], [0, 10, 11, 0, 0, 0])
    b = doubling("b", [None, None, 2, 3, 3, 3], [None, None, 1, 1, 1, 2], [0, 0, 5, 5, 5, 6])
    course(tmp_path, a, b, values=[0, 10, 4 * 10 + 1 + 5, 92, 92, 46 + 1])


def test_a_rollout_goes_on_with_the_evidence(tmp_path: Path) -> None:
    """With another address, and in place."""
    old = doubling("a", [0, 0, 1, None, None], [0, 0, 0, None, None], [0, 10, 11, 0, 0])
    for instance in ("b", "a"):
        gains, losses = [None, None, None, 0.5, 1.5], [None, None, None, 1.5, 1.5]
        new = doubling(instance, gains, losses, [0, 0, 0, 4, 4])
        replicas = [old, new] if instance == "b" else [one_after_the_other(old, new)]
        course(tmp_path, *replicas, values=[0, 10, 21, 10.5 + 4, 29])


def test_a_fleet_that_nobody_scraped_for_more_than_an_hour_begins_anew(tmp_path: Path) -> None:
    """Within the hour it continues, because Prometheus may be down for that long."""
    for minutes, then in ((59, 8 * 10 + 2), (61, 0)):
        gap = [None] * (minutes - 1)
        a = doubling("a", [0, 0, *gap, 4, 5], [0, 0, *gap, 1, 1], [0, 10, *[0] * len(gap), 12, 13])
        course(tmp_path, a, values=[0, 10, *gap, then, 2 * then + 1])


def test_one_replica_that_comes_back_after_more_than_an_hour_goes_on_from_where_it_is(tmp_path: Path) -> None:
    """Its earlier counts are already in the evidence. A new replica at that moment counts from 0."""
    gap, zeros = [None] * 70, [0] * 70
    back = doubling("a", [0, 0, 1, *gap, 9, 10], [0, 0, 0, *gap, 1, 1], [0, 10, 10, *zeros, 90, 91])
    new = doubling("c", [None, None, None, *gap, 2, 3], [None, None, None, *gap, 0, 0], [0, 0, 0, *zeros, 5, 5])
    idle = doubling("b", [0] * 75, [0] * 75, [0] * 75)
    course(tmp_path, back, new, idle, values=[0, 10, *[20] * 71, 4 * 20 + 5, 4 * 85 + 1])


def test_an_acknowledgement_at_any_replica_clears_the_evidence(tmp_path: Path) -> None:
    """One after another, within minutes: evidence gathered between two acknowledgements is cleared by the second."""
    a = doubling("a", [0, 0, 9, 9, 10, 10, 11], [0] * 7, [0, 10, 10, 11, 12, 12, 12], resets=[3, 3, 3, 4, 4, 4, 4])
    b = doubling("b", [0] * 7, [0] * 7, [0, 0, 0, 0, 0, 0, 3], resets=[0, 0, 0, 0, 0, 1, 1])
    course(tmp_path, a, b, values=[0, 10, 5120, 0, 1, 0, 3])


def test_an_acknowledgement_during_missed_scrapes_takes_effect_once_seen(tmp_path: Path) -> None:
    gap = [None, None]
    a = doubling("a", [0, 0, *gap, 60, 61], [0, 0, *gap, 0, 0], [0, 10, 0, 0, 50, 51], resets=[0, 0, 0, 0, 1, 1])
    b = doubling("b", [0] * 6, [0] * 6, [0] * 6)
    course(tmp_path, a, b, values=[0, 10, 10, 10, 0, 1])


def test_a_restart_is_no_acknowledgement(tmp_path: Path) -> None:
    a = doubling("a", [0, 0, 1, 2], [0] * 4, [0, 10, 1, 1], resets=[2, 2, 0, 0])
    course(tmp_path, a, values=[0, 10, 20 + 1, 42])


def test_evidence_beyond_all_numbers_stays_one_and_melts(tmp_path: Path) -> None:
    a = betting("a", [0, 0, 600, 1200, 1200, 1200], [0, 0, 0, 0, 640, 1500], [0, 10, 10, 10, 10, 10])
    course(tmp_path, a, values=[0, 10, 10 * math.exp(600), 1e280, 1e280 * math.exp(-640), 0])
    # A leap from nothing does not count.
    course(tmp_path, betting("a", [0, 1200, 1201], [0] * 3, [0, 10, 10]), values=[0, 10, 10 * math.e])


@pytest.mark.parametrize("label", ["model", "namespace", "job"])
def test_fleets_that_share_a_prometheus_do_not_mix(label: str, tmp_path: Path) -> None:
    one, two = {label: "one"}, {label: "two"}
    replicas = (
        doubling("a", [0, 0, 1], [0, 0, 0], [0, 10, 11], **one),
        doubling("a", [0, 0, 3], [0, 0, 0], [0, 20, 20], resets=[0, 0, 1], **two),
    )
    course(tmp_path, *replicas, values=[0, 10, 21], expression=f'{EVIDENCE}{{{label}="one"}}')
    course(tmp_path, *replicas, values=[0, 20, 0], expression=f'{EVIDENCE}{{{label}="two"}}')


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_every_bet_that_was_scraped_counts_exactly_once(seed: int, tmp_path: Path) -> None:
    """Five replicas that start, miss scrapes, restart, leave and are acknowledged at random, with all six stakes."""
    random, minutes = np.random.default_rng(seed), 50
    counters = 1 + 2 * len(STAKES)  # rows, gains, losses
    increases = np.zeros((minutes, counters))  # the news of each minute
    acknowledged = np.zeros(minutes, bool)
    replicas = []
    for name in "abcde":
        start, end = (0, minutes) if name == "a" else (int(random.integers(0, 20)), int(random.integers(30, 60)))
        counted, seen = np.zeros(counters), np.zeros(counters)
        resets, resets_seen = 0, math.inf  # a process that was never seen before is not news
        known = np.full((minutes, counters), np.nan)
        of_resets: list[int] = []
        for minute in range(minutes):
            runs = start <= minute < end
            if runs and (seen > 5).any() and random.random() < 0.2:  # what was not scraped of the old process is lost
                counted, seen, resets = np.zeros(counters), np.zeros(counters), 0
            counted = counted + runs * np.concatenate([random.poisson(5, 1), random.exponential(0.5, counters - 1)])
            resets += runs and random.random() < 0.02
            if runs and (name == "a" or random.random() < 0.8):
                increases[minute] += (counted - seen) * (minute > 0)
                acknowledged[minute] |= resets > resets_seen
                known[minute], seen, resets_seen = counted, counted, resets
            of_resets.append(resets)
        made: Series = {}
        for number, stake in enumerate(STAKES):
            rows, gains, losses = (known[:, column].tolist() for column in (0, 1 + number, 7 + number))
            gained, lost = ([None if math.isnan(one) else one for one in values] for values in (gains, losses))
            made |= betting(name, gained, lost, rows, stake=stake, resets=of_resets)
        replicas.append(made)
    assert acknowledged.any()
    wealth = np.zeros((minutes, len(STAKES)))
    for minute in range(1, minutes):
        rows, log = increases[minute, 0], increases[minute, 1:7] - increases[minute, 7:]
        wealth[minute] = 0 if acknowledged[minute] else wealth[minute - 1] * np.exp(log) + rows
    courses = {EVIDENCE: wealth.mean(1).tolist()}
    for stake, expected in zip(STAKES, wealth.T, strict=True):
        courses[f'fleet_stake:harmgauge_harm:wealth{{stake="{stake}"}}'] = expected.tolist()
    check_course(tmp_path, *replicas, courses=courses)


NOTHING = [0.0] * 31


def leap(instance: str, wealth: float, **more: Any) -> Series:
    """A replica that scores 10 rows, with which its wealth becomes this in minute 10."""
    gains = [0.0 if minute < 10 else math.log(wealth / 10) for minute in range(31)]
    return betting(instance, gains, NOTHING, [0, *[10] * 30], **more)


IDLE = betting("b", NOTHING, NOTHING, NOTHING)
FIRED = (leap("a", ASKED + 1), IDLE)


def test_the_alarm_fires_at_the_rows_asked_for_of_the_whole_fleet_and_not_below(tmp_path: Path) -> None:
    check_alerts(tmp_path, leap("a", ASKED - 1), IDLE, minute=30, fired=set())
    check_alerts(tmp_path, *FIRED, minute=9, fired=set())
    check_alerts(tmp_path, *FIRED, minute=10, fired={HARM})
    both = leap("a", 2250), leap("b", 2250)  # each 225 times as much, for 20 rows together
    course(tmp_path, *both, values=[0.0, *[20.0] * 9, *[225.0**2 * 20] * 21])
    check_alerts(tmp_path, *both, minute=10, fired={HARM})


def test_the_most_careful_replica_sets_the_limit(tmp_path: Path) -> None:
    careful = betting("b", NOTHING, NOTHING, NOTHING, rows_between_false_alarms=2 * ASKED)
    check_alerts(tmp_path, leap("a", 1.9 * ASKED), careful, minute=30, fired=set())
    check_alerts(tmp_path, leap("a", 2.1 * ASKED), careful, minute=30, fired={HARM})


def test_one_replicas_own_alarm_is_the_fleets_as_well(tmp_path: Path) -> None:
    own = betting("a", NOTHING, NOTHING, NOTHING, detected=[int(minute >= 10) for minute in range(31)])
    check_alerts(tmp_path, own, IDLE, minute=9, fired=set())
    check_alerts(tmp_path, own, IDLE, minute=10, fired={HARM})


def test_the_alarm_says_how_accurate_the_model_is_now(tmp_path: Path) -> None:
    fallen = leap("a", ASKED) | judged("a", 30, 3, 2.5)
    in_a_namespace = leap("a", ASKED, namespace="n") | judged("a", 30, 6, 2.5, namespace="n")
    another = judged("a", 30, 9, 2.5, model="other")
    now = " Over the last 10 minutes the accuracy is estimated at {}; on the calibration rows it was 93%"
    texts: list[tuple[tuple[Series, ...], str, dict[str, str]]] = [
        ((fallen, IDLE), now.format("90%"), {}),
        ((in_a_namespace, another), now.format("80%"), {"namespace": "n"}),
        (FIRED, "", {}),  # no row within 10 minutes, and no base
    ]
    for replicas, text, labels in texts:
        evidence = "reached HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS, over the whole fleet or on one replica"
        check_alert_text(
            tmp_path,
            *replicas,
            alert=HARM,
            labels={"job": "harmgauge", "model": "m", "severity": "critical"} | labels,
            annotations={
                "summary": "The estimated accuracy of m has fallen by more than the tolerance",
                "description": f"The evidence that the inputs do harm has {evidence}.{text + '.' if text else ''}",
                "runbook_url": "docs/runbook.md#harmgaugeharm",
            },
        )


def test_the_alarm_outlives_a_missed_scrape_and_ends_after_it_was_acknowledged(tmp_path: Path) -> None:
    gains: Values = [None if minute in (12, 13) else gain for minute, gain in enumerate([0.0] * 10 + [12.0] * 21)]
    acknowledged = betting("a", gains, NOTHING, [0, *[10] * 30], resets=[int(minute >= 18) for minute in range(31)])
    firing = [None if minute < 10 or minute > 27 else 1.0 for minute in range(31)]
    expression = f'ALERTS{{alertname="{HARM}", alertstate="firing"}}'
    course(tmp_path, acknowledged, IDLE, values=firing, expression=expression)


def evident(instance: str, has_harm: bool, **labels: Any) -> Series:
    """A replica with evidence of a change, with or without a silent detector of harm."""
    found = replica(instance, evidence=2e6, **labels)
    return found | (betting(instance, NOTHING, NOTHING, NOTHING, **labels) if has_harm else {})


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
    as_severe = alerts.replace("model", f'severity="{severity}", model')
    check_course(tmp_path, *replicas, courses={f"count({found})": [1.0] * 31 for found in (alerts, as_severe)})
