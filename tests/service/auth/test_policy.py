"""The authorizer: the permissions of each kind of key, under every policy."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.auth.keys import digest, new_key
from harmgauge.auth.policy import Authorizer, Permission, Policy, Role
from harmgauge.auth.rate_limit import Rates
from harmgauge.errors import Forbidden, RateLimited, RequestError, Unauthorized

KEYS = {role: new_key(role.value)[0] for role in (Role.API, Role.METRICS, Role.ADMIN)}
OPENABLE = [Permission.SCORES, Permission.INFO, Permission.DRIFT, Permission.METRICS, Permission.PAGE]


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", f"Bearer {key}".encode())]


def authorizer(policy: Policy) -> Authorizer:
    made = Authorizer(policy)
    for role, key in KEYS.items():
        made.set_keys(role, {digest(key.encode()): role.value})
    return made


def opens(authorizer: Authorizer, permission: Permission, headers: list[tuple[bytes, bytes]]) -> bool:
    try:
        authorizer.check(permission, headers)
    except RequestError:
        return False
    return True


@given(names=st.sets(st.sampled_from(OPENABLE)), flags_only=st.booleans())
def test_a_key_opens_no_less_than_none_and_admin_opens_all(names: set[Permission], flags_only: bool) -> None:
    made = authorizer(Policy(frozenset(names), flags_only))
    for permission in Permission:
        without = opens(made, permission, [])
        assert without == (permission in names or permission is Permission.HEALTH)
        assert opens(made, permission, bearer("wrong")) == without
        assert opens(made, permission, bearer(KEYS[Role.ADMIN]))
        for role in (Role.API, Role.METRICS):
            assert opens(made, permission, bearer(KEYS[role])) >= without
            assert opens(made, permission, bearer(KEYS[role])) <= (permission is not Permission.ADMIN)
        if flags_only:
            closed = {Permission.DRIFT, Permission.METRICS, Permission.PAGE} - names
            assert not any(opens(made, shut, bearer(KEYS[Role.API])) for shut in closed)
    assert made.check(Permission.HEALTH, bearer(KEYS[Role.API])).sees_scores != flags_only
    assert made.check(Permission.HEALTH, []).sees_scores != flags_only
    assert all(made.check(Permission.INFO, bearer(KEYS[role])).sees_scores for role in (Role.METRICS, Role.ADMIN))


def test_keys_that_go_are_refused_and_a_name_that_stays_keeps_its_debt() -> None:
    made = Authorizer(Policy(frozenset(), rates=Rates(rows=1e-3)))
    (old, _), (new, _) = new_key("shop"), new_key("shop")
    scope = {"type": "http", "method": "POST", "headers": bearer(old)}
    made.set_keys(Role.API, {digest(old.encode()): "shop"})
    made.check_http(scope, Permission.SCORES)
    limit = made.check(Permission.SCORES, bearer(old)).rate_limit
    assert limit is not None
    limit.take_rows(5)
    made.set_keys(Role.API, {digest(new.encode()): "shop"})
    with pytest.raises(Unauthorized):
        made.check_http(scope, Permission.SCORES)
    with pytest.raises(RateLimited):
        made.check_http({**scope, "headers": bearer(new)}, Permission.SCORES)
    made.check_http({**scope, "method": "GET", "headers": bearer(new)}, Permission.SCORES)
    made.set_keys(Role.API, {digest(new.encode()): "other"})
    made.check_http({**scope, "headers": bearer(new)}, Permission.SCORES)


def test_a_key_of_two_kinds_is_of_the_one_that_opens_more() -> None:
    key = new_key("both")[0]
    for roles in itertools.permutations([Role.API, Role.METRICS, Role.ADMIN]):
        made = Authorizer(Policy(frozenset(), flags_only=True))
        for role in roles:
            made.set_keys(role, {digest(key.encode()): "both"})
        assert made.check(Permission.ADMIN, bearer(key)).role is Role.ADMIN


def test_admin_without_a_key_of_its_own_says_so() -> None:
    with pytest.raises(Forbidden, match="HARMGAUGE_ADMIN_KEYS"):
        Authorizer(Policy()).check(Permission.ADMIN, bearer("anything"))
