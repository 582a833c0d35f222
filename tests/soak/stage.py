"""The setup of a soak: bundles, keys, and the settings of its two services."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from pathlib import Path

from harmgauge.auth.keys import new_key
from tests.soak.bundle import two_versions
from tests.soak.limits import DRAIN_SECONDS, MAX_BODY_BYTES, ROWS_PER_SECOND_PER_KEY


class Stage:
    """Keeps everything below `folder`. The service's own bundle is a symlink, `current`; the clients' key, `key`, can
    change.
    """

    def __init__(self, folder: Path, more: dict[str, str]) -> None:
        self.folder = folder
        self.bundles = two_versions(folder)
        self.current = folder / "current"
        self.point_to(self.bundles[0])
        self.key, self._line = new_key("shop")
        self.greedy_key, self._greedy_line = new_key("greedy")
        self.metrics_key, self._metrics_line = new_key("prometheus")
        self.admin_key, self._admin_line = new_key("operator")
        self._keys_file = folder / "keys"
        self._write_keys(self._line)
        self._more = more

    def settings(self, name: str, **own: object) -> dict[str, object]:
        """The settings of the service of this name, in the form that `running_service` expects."""
        return {
            "api_keys_file": self._keys_file,
            "metrics_keys": self._metrics_line,
            "admin_keys": self._admin_line,
            "client_key": self.admin_key,
            "rows_per_second_per_key": ROWS_PER_SECOND_PER_KEY,
            "max_body_bytes": MAX_BODY_BYTES,
            "drain_seconds": DRAIN_SECONDS,
            "state_dir": self.folder / f"state-{name}",
            **own,
            **{setting: value.replace("{name}", name) for setting, value in self._more.items()},
        }

    def point_to(self, bundle: Path) -> None:
        """Point `current` to the bundle, atomically."""
        new = self.folder / "new"
        with suppress(FileNotFoundError):
            new.unlink()
        new.symlink_to(bundle.resolve())
        os.replace(new, self.current)

    def let_in_another_key(self) -> str:
        """Add a new key with the clients' name, beside the old one; returns it."""
        self.key, line = new_key("shop")
        self._write_keys(self._line, line)
        self._line = line
        return self.key

    def lock_the_old_key_out(self) -> None:
        self._write_keys(self._line)

    def _write_keys(self, *lines: str) -> None:
        new = self.folder / "keys.new"
        new.write_text("\n".join([*lines, self._greedy_line]) + "\n")
        os.replace(new, self._keys_file)


def quiet_port() -> int:
    """A free port below those that the system assigns to client connections."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
