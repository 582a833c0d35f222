"""The accuracy of a fleet, by promtool: figures worked out by hand, and everything that happens to a healthy fleet."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.harm_fleet import judged
from tests.support.scenario import Life, Series, check, one_after_the_other

Z = 1.6448536269514722
"""The 95 % quantile of the standard normal distribution, scipy.stats.norm.ppf(.95)."""

RESTARTED: Life = [*range(14), *range(17)]
SCRAPES_MISSED: Life = [None if 12 <= minute < 15 else minute for minute in range(31)]
LATE: Life = [*[None] * 12, *range(19)]
GONE: Life = [*range(16), *[None] * 15]


def of(figure: str, window: str = "10m") -> str:
    return f'fleet_window:harmgauge_accuracy:{figure}{{window="{window}"}}'


def interval(estimate: float, standard_error: float, window: str = "10m") -> dict[str, float | None]:
    return {
        of("estimate", window): estimate,
        of("standard_error", window): standard_error,
        of("lower", window): estimate - Z * standard_error,
        of("upper", window): estimate + Z * standard_error,
    }


def test_the_accuracy_and_interval_of_two_replicas_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    """In 10 minutes 300 + 100 rows with 30 + 30 expected errors: accuracy .85, .08 below the base of .93."""
    replicas = judged("a", 30, 3, 2.5), judged("b", 10, 3, 1.5)
    error_squared = 40 / 400**2 + (1.25 * 0.05 * 0.08) ** 2 + 0.006**2
    assert error_squared == pytest.approx(0.00025 + 0.000025 + 0.000036)
    check(
        tmp_path,
        *replicas,
        values=interval(0.85, math.sqrt(error_squared)) | {"fleet:harmgauge_accuracy_base:avg": 0.93},
    )


@pytest.mark.parametrize(("window", "minutes"), [("10m", 10), ("1h", 60), ("1d", 70)])
def test_each_window_has_an_accuracy_of_its_own(window: str, minutes: int, tmp_path: Path) -> None:
    """After 70 minutes; the window of a day holds only those, because the processes started with 0 rows."""
    life = range(71)
    replicas = judged("a", 30, 3, 2.5, life=life), judged("b", 10, 3, 1.5, life=life)
    error = math.sqrt(4 / (40**2 * minutes) + (1.25 * 0.05 * 0.08) ** 2 + 0.006**2)
    check(tmp_path, *replicas, minute=70, values=interval(0.85, error, window))


def test_the_bounds_stay_between_0_and_1(tmp_path: Path) -> None:
    check(tmp_path, judged("a", 100, 0, 0, base=1.0), values={of("estimate"): 1.0, of("upper"): 1.0})
    check(tmp_path, judged("a", 100, 100, 0, base=1.0), values={of("estimate"): 0.0, of("lower"): 0.0})


def test_fewer_than_100_rows_have_an_estimate_and_no_interval(tmp_path: Path) -> None:
    few = {of("estimate"): 0.9, of("standard_error"): None, of("lower"): None, of("upper"): None}
    check(tmp_path, judged("a", 9, 0.9, 0.5), values=few)
    check(tmp_path, judged("a", 10, 1, 0.5), values={of("estimate"): 0.9, f"count({of('lower')})": 1.0})


def test_without_traffic_there_is_no_accuracy(tmp_path: Path) -> None:
    nothing = {of(figure): None for figure in ("estimate", "standard_error", "lower", "upper")}
    check(tmp_path, judged("a", 0, 0, 0), judged("b", 0, 0, 0), values=nothing)
    check(tmp_path, judged("a", 30, 3, 2, life=[min(minute, 8) for minute in range(31)]), values=nothing)


def test_a_bundle_without_error_probabilities_has_no_accuracy_and_dilutes_none(tmp_path: Path) -> None:
    none = {f"harmgauge_score_count{{{labels}}}": "0+30x30" for labels in ('job="harmgauge", instance="b", model="m"',)}
    check(tmp_path, none, values={of("estimate"): None})
    check(tmp_path, judged("a", 30, 3, 2.5), none, values={of("estimate"): 0.9})


HEALTHY = {
    "a restart": (judged("a", 30, 3, 2.5, life=RESTARTED), judged("b", 30, 3, 2.5)),
    "missed scrapes": (judged("a", 30, 3, 2.5, life=SCRAPES_MISSED), judged("b", 30, 3, 2.5)),
    "a replica without traffic": (judged("a", 0, 0, 0), judged("b", 30, 3, 2.5)),
    "a replica that joins": (judged("a", 30, 3, 2.5, life=LATE), judged("b", 30, 3, 2.5)),
    "a replica that leaves": (judged("a", 30, 3, 2.5, life=GONE), judged("b", 30, 3, 2.5)),
}


@pytest.mark.parametrize("replicas", HEALTHY.values(), ids=HEALTHY.keys())
def test_nothing_that_happens_to_a_healthy_fleet_moves_its_accuracy(
    replicas: tuple[Series, ...], tmp_path: Path
) -> None:
    for minute in (2, 13, 14, 20, 30):
        check(tmp_path, *replicas, minute=minute, values={of("estimate"): 0.9, of("estimate", "1h"): 0.9})


def after(minute: int, life: Life) -> Life:
    return [*[None] * minute, *life][: len(life)]


NEW = judged("c", 30, 6, 2.5, kappa=0.2, base=0.9, life=after(16, range(31)))
ROLLOUTS = {
    "on a new instance": (judged("a", 30, 3, 2.5), NEW),
    "in place": (
        judged("a", 30, 3, 2.5),
        one_after_the_other(
            judged("c", 30, 3, 2.5, life=GONE), judged("c", 30, 6, 2.5, kappa=0.2, base=0.9, life=after(16, range(31)))
        ),
    ),
}


@pytest.mark.parametrize("replicas", ROLLOUTS.values(), ids=ROLLOUTS.keys())
def test_each_bundle_of_a_rollout_is_judged_by_its_own_base_and_kappa(
    replicas: tuple[Series, ...], tmp_path: Path
) -> None:
    """.9 of the old bundle's rows (base .93, kappa .05) and .8 of the new one's (.9, .2), the same number of both."""
    missed = 1.25 * (0.05 * 0.03 + 0.2 * 0.1) / 2
    error = math.sqrt(50 / 600**2 + missed**2 + 0.006**2)
    values = interval(0.85, error) | {"fleet:harmgauge_accuracy_base:avg": 0.915}
    check(tmp_path, *replicas, minute=30, values=values)


@pytest.mark.parametrize("label", ["model", "namespace", "job"])
def test_fleets_that_share_a_prometheus_do_not_mix(label: str, tmp_path: Path) -> None:
    one: dict[str, Any] = {label: "one"}
    two: dict[str, Any] = {label: "two"}
    replicas = judged("a", 30, 3, 2.5, **one), judged("a", 30, 6, 2.5, **two)
    values: dict[str, float | None] = {
        f'fleet_window:harmgauge_accuracy:estimate{{window="10m", {label}="{fleet}"}}': accuracy
        for fleet, accuracy in {"one": 0.9, "two": 0.8}.items()
    }
    check(tmp_path, *replicas, values=values)
