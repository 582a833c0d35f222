"""The budget of bytes: its sums, its shares, and which request is given up for which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.api import budget as module
from harmgauge.api.budget import Budget, Claim
from harmgauge.errors import Overloaded, RequestError, TooLarge

TOTAL, LARGEST = 1000, 200
SHARE = TOTAL // 4

steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 1200), st.sampled_from("rws")))


@given(steps)
def test_all_never_hold_more_than_the_total_and_the_last_refused(steps: list[tuple[int, int, int, str]]) -> None:
    """Whatever is requested: a rejected request returns its bytes, and so does one that is given up."""
    budget = Budget(TOTAL, LARGEST)
    claims: dict[int, Claim] = {}
    for number, holder, size_bytes, kind in steps:
        claim = claims.setdefault(number, Claim(holder))
        if kind == "s":
            budget.shrink(claim, size_bytes)
            continue
        if kind == "w":
            claim.waits_for_client(lambda: None)
        try:
            budget.resize(claim, size_bytes)
        except RequestError:
            budget.release(claim)
        assert budget.held_bytes == sum(each.size_bytes for each in claims.values()) <= TOTAL
    for claim in claims.values():
        budget.release(claim)
        budget.release(claim)
    assert budget.held_bytes == 0


def test_a_holder_has_its_share_and_room_for_one_request_in_any_case() -> None:
    budget = Budget(TOTAL, LARGEST)
    first, second = Claim("shop"), Claim("shop")
    budget.resize(first, SHARE + 300)  # alone
    with pytest.raises(Overloaded, match="Your unanswered requests") as refused:
        budget.resize(second, 10)
    assert refused.value.closes
    budget.release(second)
    budget.resize(Claim("other"), SHARE)
    budget.release(first)
    budget.resize(second, SHARE)


def test_the_largest_that_waits_for_its_client_goes_for_a_smaller_one() -> None:
    budget = Budget(TOTAL, LARGEST)
    gone: list[str] = []
    hogs = {name: Claim(name) for name in "abcd"}
    for number, (name, claim) in enumerate(hogs.items()):
        budget.resize(claim, SHARE - number)
        claim.waits_for_client(lambda name=name: gone.append(name))  # type: ignore[misc]  # a lambda's default has no type
    hogs["a"].waits_for_client(None)  # it is being worked on
    budget.resize(Claim("new"), 100)
    assert gone == ["b"]
    with pytest.raises(Overloaded, match="Unanswered requests already hold all"):
        budget.resize(Claim("larger"), TOTAL - SHARE)
    assert gone == ["b"]


def test_who_takes_too_long_goes_for_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(TOTAL, LARGEST)
    gone: list[str] = []
    slow = Claim("slow")
    budget.resize(slow, 300)
    slow.waits_for_client(lambda: gone.append("slow"))
    refused = Claim("large")
    with pytest.raises(Overloaded):
        budget.resize(refused, 900)
    budget.release(refused)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", -1.0)
    budget.resize(Claim("large"), 900)
    assert gone == ["slow"]


def test_what_never_fits_is_told_so() -> None:
    with pytest.raises(TooLarge, match="fewer instances"):
        Budget(TOTAL, LARGEST).resize(Claim("shop"), TOTAL + 1)
