"""The gate: what each kind of key opens, under every policy."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.gate import Area, Gate, Kind, Policy
from service.errors import Forbidden, RequestError, TooManyRows, Unauthorized
from service.keys import digest, new_key

KEYS = {kind: new_key(kind.value)[0] for kind in (Kind.API, Kind.METRICS, Kind.ADMIN)}
OPENABLE = [Area.SCORES, Area.INFO, Area.DRIFT, Area.METRICS, Area.PAGE]


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", f"Bearer {key}".encode())]


def gate(policy: Policy) -> Gate:
    made = Gate(policy)
    for kind, key in KEYS.items():
        made.set_keys(kind, {digest(key.encode()): kind.value})
    return made


def opens(gate: Gate, area: Area, headers: list[tuple[bytes, bytes]]) -> bool:
    try:
        gate.check(area, headers)
    except RequestError:
        return False
    return True


@given(names=st.sets(st.sampled_from(OPENABLE)), flags_only=st.booleans())
def test_a_key_opens_no_less_than_none_and_admin_opens_all(names: set[Area], flags_only: bool) -> None:
    made = gate(Policy(frozenset(names), flags_only))
    for area in Area:
        without = opens(made, area, [])
        assert without == (area in names or area is Area.HEALTH)
        assert opens(made, area, bearer("wrong")) == without
        assert opens(made, area, bearer(KEYS[Kind.ADMIN]))
        for kind in (Kind.API, Kind.METRICS):
            assert opens(made, area, bearer(KEYS[kind])) >= without
            assert opens(made, area, bearer(KEYS[kind])) <= (area is not Area.ADMIN)
        if flags_only:
            closed = {Area.DRIFT, Area.METRICS, Area.PAGE} - names
            assert not any(opens(made, shut, bearer(KEYS[Kind.API])) for shut in closed)
    assert made.check(Area.HEALTH, bearer(KEYS[Kind.API])).sees_scores != flags_only
    assert made.check(Area.HEALTH, []).sees_scores != flags_only
    assert all(made.check(Area.INFO, bearer(KEYS[kind])).sees_scores for kind in (Kind.METRICS, Kind.ADMIN))


def test_keys_that_go_are_refused_and_a_name_that_stays_keeps_its_debt() -> None:
    made = Gate(Policy(frozenset(), rows_per_second=1e-3))
    (old, _), (new, _) = new_key("shop"), new_key("shop")
    scope = {"type": "http", "method": "POST", "headers": bearer(old)}
    made.set_keys(Kind.API, {digest(old.encode()): "shop"})
    made.check_http(scope, Area.SCORES)
    made.check(Area.SCORES, bearer(old)).take(5)
    made.set_keys(Kind.API, {digest(new.encode()): "shop"})
    with pytest.raises(Unauthorized):
        made.check_http(scope, Area.SCORES)
    with pytest.raises(TooManyRows):
        made.check_http({**scope, "headers": bearer(new)}, Area.SCORES)
    made.check_http({**scope, "method": "GET", "headers": bearer(new)}, Area.SCORES)
    made.set_keys(Kind.API, {digest(new.encode()): "other"})
    made.check_http({**scope, "headers": bearer(new)}, Area.SCORES)


def test_a_key_of_two_kinds_is_of_the_one_that_opens_more() -> None:
    key = new_key("both")[0]
    for kinds in itertools.permutations([Kind.API, Kind.METRICS, Kind.ADMIN]):
        made = Gate(Policy(frozenset(), flags_only=True))
        for kind in kinds:
            made.set_keys(kind, {digest(key.encode()): "both"})
        assert made.check(Area.ADMIN, bearer(key)).kind is Kind.ADMIN


def test_admin_without_a_key_of_its_own_says_so() -> None:
    with pytest.raises(Forbidden, match="HARMGAUGE_ADMIN_KEYS"):
        Gate(Policy()).check(Area.ADMIN, bearer("anything"))
