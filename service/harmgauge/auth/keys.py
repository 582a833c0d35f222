"""Named keys: generating them, reading them, and rereading them when their file changes.

Only the SHA-256 of a key is stored. That is enough for keys of 256 random bits, which `harmgauge key` generates; it
would not be enough for a password that a person chose.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harmgauge.errors import SettingsError

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often a key file is reread."""

_MOST_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(rf"(?P<name>{_NAME.pattern})\s*:\s*(?P<digest>[0-9a-fA-F]{{64}})")

Names = Mapping[bytes, str]
"""The name of each key, by the key's SHA-256."""


def new_key(name: str) -> tuple[str, str]:
    """Generate a random key, and its line for a key file. Raises SettingsError if `name` is not valid."""
    if _NAME.fullmatch(name) is None:
        raise SettingsError(
            f"{name!r} is not a valid key name: expected 1 to 64 letters, digits, dots, dashes and underscores"
        )
    key = f"hg_{secrets.token_urlsafe(32)}"
    return key, f"{name}:{digest(key.encode()).hex()}"


def digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def read_lines(lines: Iterable[str], where: str) -> dict[bytes, str]:
    """Parse lines `name:sha256-hex` to names by digest; skips empty lines and comments (#).

    Several keys may share a name. Raises SettingsError, which names `where` and the line's number but never the text,
    because that may be a key itself.
    """
    names: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            raise SettingsError(
                f"{where}: key {number}: expected NAME:SHA256, in hexadecimal; `harmgauge key NAME` makes one"
            )
        if names.setdefault(bytes.fromhex(found["digest"]), found["name"]) != found["name"]:
            raise SettingsError(f"{where}: key {number} repeats an earlier key under another name")
    return names


class KeyFile:
    """A key file that is read regularly; `changed` is called with the names whenever they change.

    A failed read changes nothing: the previous keys stay, and the failure is logged once.
    """

    def __init__(self, path: Path, changed: Callable[[Names], None]) -> None:
        self._path = path
        self._changed = changed
        self._names: Names = {}
        self._complaint = ""

    def read(self) -> Names:
        """The names that the file contains now. Raises SettingsError."""
        try:
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            text = content.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the keys in {self._path} cannot be read: {error}") from error
        if len(content) > _MOST_BYTES:
            raise SettingsError(f"{self._path} is larger than {_MOST_BYTES} bytes, so it is not a key file")
        names = read_lines(text.splitlines(), str(self._path))
        if not names:  # a text editor or a full disk may have emptied it
            raise SettingsError(f"{self._path} contains no key: `harmgauge key NAME` makes one")
        return names

    def start(self) -> None:
        """Read the file for the first time. Raises SettingsError."""
        self._names = self.read()
        self._changed(self._names)

    async def look(self) -> None:
        """Reread the file, on a thread."""
        try:
            names = await asyncio.to_thread(self.read)
        except SettingsError as error:
            if str(error) != self._complaint:
                log.error("%s; the previous keys stay in force", error)
            self._complaint = str(error)
            return
        self._complaint = ""
        if names != self._names:
            self._names = names
            self._changed(names)
            log.info("%d keys from %s are in force", len(names), self._path)

    async def keep_looking(self) -> None:
        """Check the file until cancelled, immediately to begin with: the start may have taken a while."""
        while True:
            try:
                await self.look()
            # for example, no thread is available: the previous keys stay, and the next check may succeed
            except Exception:
                log.exception("%s could not be checked", self._path)
            await asyncio.sleep(LOOK_SECONDS)
