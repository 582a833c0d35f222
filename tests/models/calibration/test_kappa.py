"""kappa for sets with a known bias, and for an estimate that is constant."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.calibration.kappa import Judged, Set, missed

ROWS = 4000
CLEAN_RISK = 0.05


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def one_set(kind: str, true_risk: float, seen_risk: float) -> Set:
    """A set in which a share `true_risk` of the rows is wrong, and the second network's q is 1 - `seen_risk`."""
    wrong, clean = (np.arange(ROWS) < risk * ROWS for risk in (true_risk, CLEAN_RISK))
    q, clean_q = (np.full(ROWS, -logit(risk)) for risk in (seen_risk, CLEAN_RISK))
    return Set(kind, q, wrong.astype(float), clean_q, clean.astype(float))


def judged(sets: list[Set], unseen: tuple[str, ...]) -> Judged:
    clean = sets[0]
    return Judged(sets, clean.clean_logits, clean.clean_wrong, unseen)


HONEST = [one_set(kind, risk, risk) for kind in "ab" for risk in (0.1, 0.3, 0.6)]


def test_a_network_that_is_right_misses_nothing() -> None:
    found = missed([judged(HONEST, (kind,)) for kind in "ab"])
    assert found is not None
    assert found.kappa == pytest.approx(0, abs=0.01)
    assert found.seen == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_kind_of_which_a_share_is_missed_has_it_as_kappa(share: float) -> None:
    """The other kinds calibrate q; for this one, q shows 1 - share of each drop."""
    liar = [one_set("c", risk, CLEAN_RISK + (1 - share) * (risk - CLEAN_RISK)) for risk in (0.1, 0.3, 0.6)]
    found = missed([judged([*HONEST, *liar], ("c",))])
    assert found is not None
    assert found.kappa == pytest.approx(share, abs=0.02)
    assert found.seen == pytest.approx(1 - share, abs=0.02)


def test_a_network_that_sees_nothing_is_found_out_by_what_it_sees() -> None:
    """Its estimate is halfway between clean and disturbed: off by half a drop each time, and it never falls."""
    blind = [one_set(kind, 0.6, CLEAN_RISK) for kind in "ab"]
    found = missed([judged(blind, (kind,)) for kind in "ab"])
    assert found is not None
    assert found.kappa == pytest.approx(0.5, abs=0.02)
    assert found.seen == pytest.approx(0, abs=1e-9)


def test_disturbances_that_cost_nothing_judge_nothing() -> None:
    assert missed([judged([one_set(kind, CLEAN_RISK, CLEAN_RISK) for kind in "ab"], ("a",))]) is None
    assert missed([]) is None


def test_chance_alone_is_no_bias() -> None:
    """100 rows per set: the share of wrong rows varies by .04 around P, which is exactly right."""
    random = np.random.default_rng(0)
    sets = []
    for index in range(300):
        risk = random.uniform(0.05, 0.6)
        wrong, clean = (random.random(100) < level for level in (risk, CLEAN_RISK))
        q, clean_q = (np.full(100, -logit(level)) for level in (risk, CLEAN_RISK))
        sets.append(Set(str(index % 3), q, wrong.astype(float), clean_q, clean.astype(float)))
    found = missed([judged(sets, (kind,)) for kind in "012"])
    assert found is not None
    assert found.kappa < 0.06, "and .15 if chance were counted"
