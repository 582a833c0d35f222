"""Keys: the syntax of their lines, and the file that is reloaded."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.auth.keys import KeyFile, Names, digest, new_key, read_lines
from harmgauge.errors import SettingsError


def name_of(key: bytes, names: Names) -> str | None:
    return names.get(digest(key))


NAMES = st.text("abcXYZ019._-", min_size=1, max_size=64)


@given(names=st.lists(NAMES, min_size=1, max_size=5), other=st.binary(max_size=60))
def test_a_key_that_was_made_is_known_by_its_name_and_no_other_is(names: list[str], other: bytes) -> None:
    made = [new_key(name) for name in names]
    known = read_lines(["# comment", "", *(f"  {line}\n" for _, line in made)], "here")
    for (key, line), name in zip(made, names, strict=True):
        assert name_of(key.encode(), known) == name
        assert key not in line
        assert line == f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
        assert name_of(key.encode() + b" ", known) is None
        assert name_of(line.partition(":")[2].encode(), known) is None, "what is kept opens nothing"
    assert name_of(other, known) is None
    assert len({key for key, _ in made}) == len(made)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 65, "ä", "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is not a valid key name"):
        new_key(name)


@pytest.mark.parametrize("line", ["secret-password", "a:b", "a:" + "0" * 63, "a:" + "g" * 64, ":" + "0" * 64])
def test_what_is_no_line_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(SettingsError, match="THERE: key 2: expected NAME:SHA256") as refused:
        read_lines(["a:" + "0" * 64, line], "THERE")
    assert line not in str(refused.value)


def test_one_key_has_one_name_and_a_name_may_have_several_keys() -> None:
    first, second = "0" * 64, "1" * 64
    assert set(read_lines([f"a:{first}", f"a:{second}"], "").values()) == {"a"}
    with pytest.raises(SettingsError, match="under another name"):
        read_lines([f"a:{first}", f"b:{first}"], "")


class TestKeyFile:
    def test_a_change_is_found_and_what_is_broken_keeps_the_keys(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "keys"
        (old, old_line), (new, new_line) = new_key("old"), new_key("new")
        path.write_text(f"{old_line}\n")
        force: list[Names] = []
        file = KeyFile(path, force.append)
        file.start()

        def look() -> Mapping[bytes, str]:
            asyncio.run(file.look())
            return force[-1]

        assert name_of(old.encode(), look()) == "old"
        assert len(force) == 1, "nothing changed, nobody is told"
        path.write_text(f"{old_line}\n{new_line}\n")
        assert {name_of(key.encode(), look()) for key in (old, new)} == {"old", "new"}
        path.write_text(f"{new_line}\n")
        assert name_of(old.encode(), look()) is None
        before = force[-1]
        for broken in (b"", b"\xff\xfe", b"# nothing\n", new_line[:-1].encode(), b"x" * (2**20 + 1), None):
            caplog.clear()
            if broken is None:
                path.unlink()
            else:
                path.write_bytes(broken)
            assert look() is before
            assert look() is before
            complaints = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert len(complaints) == 1, broken
            assert "the previous keys stay in force" in complaints[0].getMessage()
        path.write_text(f"{old_line}\n")
        assert name_of(old.encode(), look()) == "old"

    def test_a_start_without_keys_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read"):
            KeyFile(tmp_path / "nowhere", lambda _: None).start()
