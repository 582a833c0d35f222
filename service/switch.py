"""Which bundle serves, and how another takes over: loaded and warm beside the old one, then in its place at once.

A request keeps the bundle it began with. The old one ends when its last request is answered.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope, Send

from service.errors import BundleError, BundleRefused, SettingsError, SwapInProgress
from service.inference.bundle import Bundle, Manifest, load
from service.serving import Serving
from service.settings import Settings

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""Beyond a request's deadline: then none of them can still wait for scores."""


@dataclass(frozen=True)
class Swap:
    """What became of a call: `before` and `now` are the bundle that served and the one that serves; the same one where
    nothing had changed.
    """

    before: Bundle
    now: Bundle
    seconds: float


class Switch:
    """The ASGI application: hands each request to the bundle in service, `current`.

    `make` puts a verified bundle's parts together, on any thread; it raises BundleError and SettingsError.
    """

    def __init__(self, settings: Settings, make: Callable[[Bundle], Serving], current: Serving) -> None:
        self._settings = settings
        self._make = make
        self._busy = False
        # One thread for all loading: in each thread the allocator keeps what a graph once took there.
        self._loading = ThreadPoolExecutor(1, "load")
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._reread: asyncio.Task[None] | None = None
        self.current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.current(scope, receive, send)

    def start(self) -> None:
        self.current.start(self._settings.drift_interval_seconds)

    async def replace(self, folder: Path | None = None) -> Swap:
        """Serve the bundle in `folder` from now on; that of HARMGAUGE_BUNDLE, read again, where none is named.

        Raises SwapInProgress while another call does the same, BundleRefused where it cannot be: nothing changes then.
        """
        if self._busy:
            raise SwapInProgress("Another bundle is being loaded right now: try again when that is done.")
        self._busy = True
        folder = folder or self._settings.bundle
        try:
            return await self._replace(folder)
        except (BundleError, SettingsError) as error:
            kept = _name(self.current.bundle)
            log.warning("%s was refused, %s serves on: %s", folder, kept, error)
            raise BundleRefused(f"{error} (nothing has changed: {kept} serves on).") from None
        finally:
            self._busy = False

    def reread(self) -> None:
        """What SIGHUP asks for: `replace` without a folder, its outcome told to the log."""
        self._reread = asyncio.create_task(self._replace_and_log())

    async def close(self) -> None:
        """Save and end everything; no request may come any more."""
        if self._reread is not None:
            self._reread.cancel()
        for task in list(self._retiring.values()):
            task.cancel()
        await asyncio.gather(*self._retiring.values(), return_exceptions=True)
        await self.current.save()
        self.current.close()

    async def _replace(self, folder: Path) -> Swap:
        begin = time.monotonic()
        old = self.current
        loop = asyncio.get_running_loop()
        bundle = await loop.run_in_executor(self._loading, self._load, folder)
        if bundle.key == old.bundle.key:
            log.info("%s holds the bundle that serves already, %s: nothing changes", folder, _name(bundle))
            return Swap(old.bundle, old.bundle, time.monotonic() - begin)
        _check_successor(old.bundle.manifest, bundle.manifest)
        if bundle.key in self._retiring:  # back to one whose last requests still end: its drift state comes then
            await asyncio.wait([self._retiring[bundle.key]])
        new = await loop.run_in_executor(self._loading, self._make, bundle)
        lost = {output.name for output in old.parts.offered} - {output.name for output in new.parts.offered}
        if lost:
            new.close()
            raise BundleError(f"{folder}: it does not offer {', '.join(sorted(lost))}, which {_name(old.bundle)} does")
        new.start(self._settings.drift_interval_seconds)
        self.current = new
        self._retiring[old.bundle.key] = asyncio.create_task(self._retire(old))
        seconds = time.monotonic() - begin
        log.info("serving %s from %s instead of %s, after %.2f s", _name(bundle), folder, _name(old.bundle), seconds)
        return Swap(old.bundle, bundle, seconds)

    async def _retire(self, old: Serving) -> None:
        try:
            await old.retire(self._settings.deadline_seconds + GRACE_SECONDS)
        except Exception:
            log.exception("the drift state of %s was not saved", _name(old.bundle))
        finally:
            del self._retiring[old.bundle.key]
        del old
        # Its parts refer to each other in circles, and the collector hardly ever comes by itself (`server.py`).
        gc.collect()

    async def _replace_and_log(self) -> None:
        try:
            await self.replace()
        except BundleRefused:
            pass  # logged already
        except SwapInProgress as error:
            log.warning("SIGHUP was not followed: %s", error.detail)
        except Exception:
            log.exception("the bundle could not be replaced; %s serves on", _name(self.current.bundle))

    def _load(self, folder: Path) -> Bundle:
        # All links followed once: one that is moved meanwhile must not give half of each bundle.
        return load(Path(os.path.realpath(folder)), self._settings.precision, self._settings.bundle_public_key)


def _check_successor(old: Manifest, new: Manifest) -> None:
    """Raises BundleError where requests that were good for the old bundle would not be for the new one, or where its
    answers would mean something else.
    """
    for what, before, after in (
        ("name", old.name, new.name),  # in the paths of V2, in gRPC's requests, and a label of every metric
        ("input", old.input.model_dump(exclude_none=True), new.input.model_dump(exclude_none=True)),
        ("class_names", list(old.class_names), list(new.class_names)),
    ):
        if before != after:
            raise BundleError(
                f"the bundle's {what} is {after!r}, that of the one in service {before!r}: only a bundle with the same "
                "name, input and classes can take over; start another process for this one"
            )


def _name(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}/{bundle.manifest.version} ({bundle.key})"
