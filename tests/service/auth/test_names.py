"""Names of clients and sources: their syntax, and the key that they belong to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.auth.names import CLIENT, SOURCE, read_name
from harmgauge.auth.policy import Principal, Role
from harmgauge.errors import BadRequest

SHOP, STRANGER = Principal(Role.API, "shop"), Principal(Role.API, "stranger", is_trusted=False)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)


@given(VISIBLE)
def test_a_name_belongs_to_its_key(value: str) -> None:
    assert read_name(CLIENT, value, SHOP) == ("shop", value)
    assert read_name(CLIENT, value, Principal(Role.API, "till")) == ("till", value)
    assert read_name(CLIENT, value, Principal(Role.NOBODY)) == ("", value)
    assert read_name(CLIENT, value, STRANGER) is None, "an untrusted key has no names"


@given(st.text(max_size=200).filter(lambda text: not text.isascii() or not text.isprintable() or " " in text))
def test_whatever_is_not_visible_ascii_is_refused_whoever_sends_it(value: str) -> None:
    for principal in (SHOP, STRANGER):
        with pytest.raises(BadRequest, match=f"{SOURCE}: expected at most 128 visible ASCII characters"):
            read_name(SOURCE, value, principal)


def test_lengths() -> None:
    assert read_name(CLIENT, "", SHOP) is None
    assert read_name(CLIENT, "x" * 128, SHOP) == ("shop", "x" * 128)
    for bad in ("x" * 129, 7, ["x"], True):
        with pytest.raises(BadRequest):
            read_name(CLIENT, bad, SHOP)
