"""The drift rules of a fleet, by promtool: figures worked out by hand, and the events in a healthy fleet."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.scenario import Life, Series, check, check_alert_text, check_alerts, one_after_the_other, replica

D = "fleet_bundle:harmgauge_score:ks_statistic10m"
P_VALUE = "fleet_bundle:harmgauge_score:ks_p_value10m"
LOG10_P_VALUE = "fleet_bundle:harmgauge_score:ks_log10_p_value10m"
P_VALUE_THRESHOLD = "fleet_bundle:harmgauge_score:ks_p_value_threshold10m"
ROWS = "fleet_bundle:harmgauge_score_count:increase10m"
EVIDENCE = "fleet:harmgauge_drift_evidence:sum"
FLAGGED = "fleet:harmgauge_adversarial_per_instances:ratio_rate10m"

KS, SUM = "HarmgaugeFleetDriftKs", "HarmgaugeFleetDriftEvidence"

DRIFTED = (replica("a", (5, 20, 20, 40), flagged=2), replica("b", (0, 20, 40, 60), flagged=8))
"""Together 5, 40 and 60 % of their rows lie below the bounds; in the reference 25, 50 and 75 %: D = .25 - .05 = .2."""

RESTARTED: Life = [*range(14), *range(17)]
SCRAPES_MISSED: Life = [None if 12 <= minute < 15 else minute for minute in range(31)]
LATE: Life = [*[None] * 12, *range(19)]
GONE: Life = [*range(16), *[None] * 15]


def test_the_figures_of_two_replicas_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    exponent = -2 * 0.2**2 * 1000 * 1000 / (1000 + 1000)
    values = {
        ROWS: 1000.0,
        D: 0.2,
        P_VALUE: 2 * math.exp(exponent),
        LOG10_P_VALUE: math.log10(2 * math.exp(exponent)),
        FLAGGED: 0.1,
        EVIDENCE: 0.0,
    }
    check(tmp_path, *DRIFTED, values=values)


def test_a_p_value_too_small_for_a_number_is_an_alarm_all_the_same(tmp_path: Path) -> None:
    busy = replica("a", (0, 0, 0, 4_000_000), reference=(250_000, 500_000, 750_000, 1_000_000))
    exponent = -2 * 0.75**2 * 4e7 * 1e6 / (4e7 + 1e6)
    values = {P_VALUE: 0.0, LOG10_P_VALUE: math.log10(2) + exponent / math.log(10)}
    check(tmp_path, busy, values=values)
    check_alerts(tmp_path, busy, fired={KS})


def test_the_ks_alarm_says_what_it_found(tmp_path: Path) -> None:
    check_alert_text(
        tmp_path,
        *DRIFTED,
        alert=KS,
        labels={"job": "harmgauge", "model": "m", "bundle": "x", "severity": "warning"},
        annotations={
            "summary": "Scores of m in the last 10 minutes do not match its reference",
            "description": "A Kolmogorov-Smirnov test of all replicas' scores (bundle x) against the reference gives "
            "p = 10^-17.1, which chance reaches at most once in HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS rows.",
            "runbook_url": "docs/runbook.md#harmgaugefleetdriftks",
        },
    )


@pytest.mark.parametrize(
    ("asked", "statistic", "threshold", "fires"),
    [
        (10**6, 0.12, 0.08 * 10 / (30 * 24 * 60), True),  # p = 1.1e-6
        (10**8, 0.12, 0.08 * 1000 / 10**8, False),
        (10**6, 0.1, 0.08 * 10 / (30 * 24 * 60), False),  # p = 9e-5: below .05 but not an alarm
        (100, 0.1, 0.08 * 10 / (30 * 24 * 60), False),  # more rows in the window than were asked for
    ],
)
def test_the_ks_alarm_is_as_rare_as_was_asked(
    asked: int, statistic: float, threshold: float, fires: bool, tmp_path: Path
) -> None:
    shifted = (25 - round(100 * statistic), 50, 75, 100)
    replicas = replica("a", shifted, rows_between_false_alarms=asked), replica("b", (0, 0, 0, 0))
    check(tmp_path, *replicas, values={D: statistic, P_VALUE_THRESHOLD: threshold})
    check_alerts(tmp_path, *replicas, fired={KS} if fires else set())


def test_evidence_adds_up_over_replicas_and_bundles(tmp_path: Path) -> None:
    grown = [0] * 10 + [600_000] * 21
    check_alerts(tmp_path, replica("a", evidence=grown), replica("b", evidence=399_999), fired=set())
    replicas = replica("a", evidence=grown), replica("b", evidence=400_000, bundle="y")
    check_alerts(tmp_path, *replicas, minute=9, fired=set())
    check(tmp_path, *replicas, values={EVIDENCE: 1e6})
    check_alerts(tmp_path, *replicas, fired={SUM})
    check_alert_text(
        tmp_path,
        *replicas,
        alert=SUM,
        labels={"job": "harmgauge", "model": "m", "severity": "critical"},
        annotations={
            "summary": "The inputs of m have drifted",
            "description": "The replicas' evidence that scores no longer follow the reference adds up to 1e+06, at or "
            "above HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS. It stays long after the drift, until it is acknowledged.",
            "runbook_url": "docs/runbook.md#harmgaugefleetdriftevidence",
        },
    )


def test_the_evidence_alarm_outlives_a_missed_scrape_and_ends_after_it_was_acknowledged(tmp_path: Path) -> None:
    given = [2e6] * 18 + [0] * 13
    replicas = replica("a", evidence=given, life=SCRAPES_MISSED), replica("b")
    for minute, firing in ((11, 1.0), (13, 1.0), (17, 1.0), (27, 1.0), (29, None)):
        check(tmp_path, *replicas, minute=minute, values={f'ALERTS{{alertname="{SUM}", alertstate="firing"}}': firing})


HEALTHY = {
    "traffic like the reference": (replica("a"), replica("b")),
    "a restart": (replica("a", life=RESTARTED), replica("b")),
    "missed scrapes": (replica("a", life=SCRAPES_MISSED), replica("b")),
    "a replica without traffic": (replica("a", (0, 0, 0, 0)), replica("b")),
    "a replica that joins": (replica("a", life=LATE), replica("b")),
    "a replica that leaves": (replica("a", life=GONE), replica("b")),
}


@pytest.mark.parametrize("replicas", HEALTHY.values(), ids=HEALTHY.keys())
def test_nothing_that_happens_to_a_healthy_fleet_moves_its_figures(
    replicas: tuple[Series, ...], tmp_path: Path
) -> None:
    for minute in (2, 13, 20, 30):
        check(tmp_path, *replicas, minute=minute, values={D: 0.0, P_VALUE: 1.0, FLAGGED: 0.0, EVIDENCE: 0.0})
    check_alerts(tmp_path, *replicas, minute=30, fired=set())


@pytest.mark.parametrize("life", [RESTARTED, SCRAPES_MISSED, LATE])
def test_a_restart_or_missed_scrapes_hide_no_drift(life: Life, tmp_path: Path) -> None:
    replicas = replica("a", (0, 20, 30, 40), life=life), replica("b", (0, 20, 30, 40))
    check(tmp_path, *replicas, values={D: 0.25})
    check_alerts(tmp_path, *replicas, fired={KS})


def test_without_traffic_there_is_no_statistic_and_no_alarm(tmp_path: Path) -> None:
    idle = replica("a", (0, 0, 0, 0)), replica("b", (0, 0, 0, 0))
    check(tmp_path, *idle, values={ROWS: 0.0, D: None, P_VALUE: None, LOG10_P_VALUE: None, FLAGGED: None})
    check_alerts(tmp_path, *idle, fired=set())


def test_traffic_that_ends_takes_its_statistic_along(tmp_path: Path) -> None:
    quiet: Life = [min(minute, 8) for minute in range(31)]
    for minute, statistic in ((15, 0.2), (18, None), (30, None)):
        check(tmp_path, replica("a", (2, 20, 30, 40), life=quiet), minute=minute, values={D: statistic})


POOLED_D = """max(abs(
  sum by (le) (increase(harmgauge_score_bucket[10m])) / scalar(sum(increase(harmgauge_score_count[10m])))
  - on (le) max by (le) (harmgauge_reference_score_bucket) / scalar(max(harmgauge_reference_score_count))
))"""

NEW_BUNDLE: dict[str, Any] = {
    "bundle": "y",
    "bounds": ("1.0", "5.0", "9.0", "+Inf"),
    "reference": (500, 600, 700, 1000),
}
LIKE_NEW_BUNDLE = (20, 24, 28, 40)


def rolled_out(instance: str) -> Series:
    return replica(instance, LIKE_NEW_BUNDLE, life=[*[None] * 16, *range(15)], **NEW_BUNDLE)


ROLLOUTS = {
    "on new instances": (replica("a", life=GONE), replica("b"), rolled_out("c")),
    "in place": (one_after_the_other(replica("a", life=GONE), rolled_out("a")), replica("b")),
}


@pytest.mark.parametrize("replicas", ROLLOUTS.values(), ids=ROLLOUTS.keys())
def test_two_bundles_in_a_rollout_are_no_drift(replicas: tuple[Series, ...], tmp_path: Path) -> None:
    """Pooled, their scores would look like strong drift; each against its own reference, they have not drifted."""
    values = {f'{D}{{bundle="x"}}': 0.0, f'{D}{{bundle="y"}}': 0.0, "count(" + D + ")": 2.0}
    for minute in (18, 20, 30):
        check(tmp_path, *replicas, minute=minute, values=values)
    check(tmp_path, *replicas, values={f"{POOLED_D} > bool 0.1": 1.0})
    check_alerts(tmp_path, *replicas, minute=30, fired=set())


def test_a_drift_shows_in_the_bundle_that_sees_it(tmp_path: Path) -> None:
    drifted = replica("c", (0, 4, 8, 40), **NEW_BUNDLE)
    check(tmp_path, replica("a"), drifted, values={f'{D}{{bundle="x"}}': 0.0, f'{D}{{bundle="y"}}': 0.5})
    check_alerts(tmp_path, replica("a"), drifted, fired={KS})


@pytest.mark.parametrize("label", ["model", "namespace", "job"])
def test_fleets_that_share_a_prometheus_do_not_mix(label: str, tmp_path: Path) -> None:
    """Neither D nor evidence mixes, and the strictest threshold of another fleet does not apply."""
    here: dict[str, Any] = {label: "one"}
    there: dict[str, Any] = {label: "two"}
    replicas = (
        replica("a", evidence=600_000, **here),
        replica("a", (0, 20, 30, 40), evidence=600_000, rows_between_false_alarms=700_000, **there),
    )
    values = {f'{D}{{{label}="one"}}': 0.0, f'{D}{{{label}="two"}}': 0.25, f'{EVIDENCE}{{{label}="one"}}': 600_000.0}
    check(tmp_path, *replicas, values=values)
    check_alerts(tmp_path, *replicas, fired={KS})
