"""Chooses the bundle that serves, and replaces it: the new one is loaded and warmed up beside the old one, then takes
over at once.

A request keeps the bundle that it started with. The old bundle is closed when its last request has been answered. A
shadow is loaded in the same way, and waits beside the bundle in service.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope, Send

from harmgauge.bundle.load import Bundle
from harmgauge.errors import BundleError, BundleRefused, NoShadow, SettingsError, ShadowFails, SwapInProgress
from harmgauge.memory import give_back
from harmgauge.rollout.compatibility import check_offers, check_other, check_successor, end_of_estimate, title
from harmgauge.rollout.loading_thread import LoadingThread
from harmgauge.rollout.served import COMPONENTS, SERVED, ServedBundle
from harmgauge.rollout.shadow import Shadow
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

LOAD_SECONDS = {False: 300.0, True: 3600.0}
"""A load that takes longer hangs. TensorRT (true) builds its engines while it loads a graph."""

GRACE_SECONDS = 1.0
"""Added to a request's deadline; after both, no request can still wait for scores."""


@dataclass(frozen=True)
class Swap:
    """The outcome of a call: `before` is the previous bundle and `now` the one in service; they are the same if nothing
    changed.
    """

    before: Bundle
    now: Bundle
    seconds: float


class Switch:
    """The ASGI application: passes each request to the bundle in service, `current`.

    `load` returns the verified bundle in a folder, and `make` assembles its parts. Both are called on a thread, and
    raise BundleError and SettingsError.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[Path], Bundle],
        make: Callable[[Bundle], ServedBundle],
        current: ServedBundle,
    ) -> None:
        self._settings = settings
        self._load = load
        self._make = make
        self._busy = False
        self._loading = LoadingThread(LOAD_SECONDS[settings.providers == "tensorrt"])
        self._retiring: dict[str, tuple[ServedBundle, asyncio.Task[None]]] = {}
        self._unasked: dict[str, asyncio.Task[None]] = {}
        self._shadow: Shadow | None = None
        self.current = current

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine itself: each layer that awaits adds a resumption to every request."""
        served = self.current
        scope[SERVED], scope[COMPONENTS] = served, served.components
        return served.app(scope, receive, send)

    def is_hot(self, scope: Scope) -> bool:
        """Whether a request with this scope carries traffic, for a route outside the framework."""
        return scope["method"] == "POST" and scope["path"] in self.current.hot_paths

    @property
    def shadow(self) -> Shadow:
        """Raises NoShadow."""
        if self._shadow is None:
            raise NoShadow("There is no shadow: POST /admin/shadow loads one.")
        return self._shadow

    @property
    def hanging(self) -> str | None:
        """The hanging load, for a message; None if there is none."""
        return self._loading.hanging

    def start(self) -> None:
        self.current.start(self._settings.drift_interval_seconds)
        if self._settings.shadow is not None:
            self._begin("HARMGAUGE_SHADOW", self.load_shadow, self._settings.shadow)

    async def replace(self, folder: Path | None = None) -> Swap:
        """Serve the bundle in `folder` from now on; by default HARMGAUGE_BUNDLE, read again.

        Raises SwapInProgress while another change is under way, BundleRefused if the bundle cannot be served: then
        nothing changes.
        """
        folder = folder or self._settings.bundle
        with self._one_at_a_time(folder):
            return await self._replace(folder)

    async def load_shadow(self, folder: Path) -> Shadow:
        """Make the bundle in `folder` the shadow of the one in service, in place of any other.

        Raises SwapInProgress or BundleRefused as `replace` does.
        """
        with self._one_at_a_time(folder):
            return await self._load_shadow(folder)

    async def drop_shadow(self) -> Bundle:
        """Remove the shadow and save its drift state. Raises NoShadow or SwapInProgress."""
        with self._one_at_a_time():
            bundle = self.shadow.serving.bundle
            await self._drop_shadow()
            log.info("dropped the shadow %s", title(bundle))
            return bundle

    def promote(self) -> Swap:
        """Put the shadow into service at once, with its windows unchanged.

        Raises NoShadow, ShadowFails if it could not score the newest rows, or hangs in them, BundleRefused if it offers
        less than the bundle in service, and SwapInProgress.
        """
        begin = time.monotonic()
        shadow, old = self.shadow, self.current.bundle
        with self._one_at_a_time(shadow.serving.bundle.path):
            if shadow.failure is not None:
                raise ShadowFails(
                    f"{title(shadow.serving.bundle)} is not fit to serve: {shadow.failure}. Promote it once it is, or "
                    "load another."
                )
            self._serve(self._out_of_the_shadow(shadow))
        log.info("serving %s, previously the shadow, instead of %s", title(self.current.bundle), title(old))
        return Swap(old, self.current.bundle, time.monotonic() - begin)

    async def shadow_exposition(self) -> bytes:
        """The shadow's part of a scrape, if there is a shadow."""
        return b"" if self._shadow is None else await self._shadow.exposition()

    def reread(self) -> None:
        """Handle SIGHUP: `replace` without a folder, with its outcome in the log."""
        self._begin("SIGHUP", self.replace)

    async def close(self) -> None:
        """Save and close everything; no request may arrive any more."""
        for task in self._unasked.values():
            task.cancel()
        retiring = list(self._retiring.values())
        for serving, _ in retiring:
            serving.hurry()
        await asyncio.gather(*(task for _, task in retiring))
        ending = [self.current]
        if self._shadow is not None:
            self._shadow.end()
            ending.append(self._shadow.serving)
        for serving in ending:
            await serving.save()
            serving.close()

    @contextmanager
    def _one_at_a_time(self, folder: Path | None = None) -> Iterator[None]:
        if self._busy:
            raise SwapInProgress("Another bundle is being loaded; try again when it is finished.")
        self._busy = True
        try:
            yield
        except (BundleError, SettingsError) as error:
            kept = title(self.current.bundle)
            log.warning("%s was refused, %s stays in service: %s", folder, kept, error)
            raise BundleRefused(f"{error} (nothing has changed: {kept} stays in service).") from None
        finally:
            self._busy = False

    async def _replace(self, folder: Path) -> Swap:
        begin = time.monotonic()
        old = self.current.bundle
        bundle = await self._loaded(folder)
        if bundle.key == old.key:
            log.info("%s contains the bundle in service, %s: nothing changes", folder, title(bundle))
            return Swap(old, old, time.monotonic() - begin)
        if self._shadow is not None and bundle.key == self._shadow.serving.bundle.key:
            if self._shadow.failure is not None:
                raise BundleError(
                    f"{title(bundle)} is the shadow and not fit to serve: {self._shadow.failure}. Drop the shadow to "
                    "load it again"
                )
            new = self._out_of_the_shadow(self._shadow)
        else:
            new = await self._assembled(bundle)
            new.start(self._settings.drift_interval_seconds)
        self._serve(new)
        seconds = time.monotonic() - begin
        log.info("serving %s from %s instead of %s, after %.2f s", title(bundle), folder, title(old), seconds)
        return Swap(old, bundle, seconds)

    def _out_of_the_shadow(self, shadow: Shadow) -> ServedBundle:
        """Turn the shadow back into a plain bundle; raises BundleError if it offers less than the one in service."""
        check_offers(self.current, shadow.serving)
        shadow.end()
        self._shadow = None
        return shadow.serving

    def _beside(self, serving: ServedBundle) -> Shadow:
        settings = self._settings
        return Shadow(serving, self.current, settings.max_queue_rows, settings.inference_timeout_seconds)

    def _serve(self, new: ServedBundle) -> None:
        """Synchronous, so that no request can come in between."""
        old, self.current = self.current, new
        if (warning := end_of_estimate(old.bundle, new.bundle)) is not None:
            log.warning("%s", warning)
        old.components.monitor.catch_up()  # from now on, metrics come from the new bundle: count the answers so far
        if self._shadow is not None:  # from now on, it is compared with the new bundle
            self._shadow.end()
            self._shadow = self._beside(self._shadow.serving)
        self._retire(old)

    async def _load_shadow(self, folder: Path) -> Shadow:
        bundle = await self._loaded(folder)
        check_other(self.current.bundle, bundle)
        if self._shadow is not None and bundle.key == self._shadow.serving.bundle.key:
            return self._shadow
        serving = await self._assembled(bundle)
        if self._shadow is not None:
            await self._drop_shadow()
        serving.start(self._settings.drift_interval_seconds)
        self._shadow = self._beside(serving)
        log.info("%s from %s scores the traffic of %s as its shadow", title(bundle), folder, title(self.current.bundle))
        return self._shadow

    async def _drop_shadow(self) -> None:
        self.shadow.end()
        retiring = self._retire(self.shadow.serving)
        self._shadow = None
        await asyncio.wait([retiring])  # it continues even if the caller leaves

    async def _loaded(self, folder: Path) -> Bundle:
        # Resolve all links once: a link that changes in the meantime must not mix two bundles.
        return await self._loading.run(f"reading {folder}", lambda: self._load(Path(os.path.realpath(folder))))

    async def _assembled(self, bundle: Bundle) -> ServedBundle:
        """Assemble a bundle that can take over from the one in service; raises BundleError or SettingsError."""
        check_successor(self.current.bundle.manifest, bundle.manifest)
        if bundle.key in self._retiring:  # If the bundle is still retiring, wait: its drift state is saved then.
            await asyncio.wait([self._retiring[bundle.key][1]])
        made = await self._loading.run(f"loading {bundle.path}", lambda: self._make(bundle), ServedBundle.close)
        try:
            check_offers(self.current, made)
        except BundleError:
            made.close()
            raise
        return made

    def _retire(self, old: ServedBundle) -> asyncio.Task[None]:
        task = asyncio.create_task(self._retire_and_forget(old))
        self._retiring[old.bundle.key] = old, task
        return task

    async def _retire_and_forget(self, old: ServedBundle) -> None:
        try:
            await old.retire(self._settings.deadline_seconds + GRACE_SECONDS)
        except Exception:
            log.exception("the drift state of %s was not saved", title(old.bundle))
        finally:
            del self._retiring[old.bundle.key]
        del old
        # Its parts form reference cycles, and the collector hardly ever runs by itself (`server.py`).
        gc.collect()
        self._loading.submit(give_back)

    def _begin(self, name: str, change: Callable[..., Awaitable[object]], *arguments: Path) -> None:
        """Start a change that no request asked for; `name` is its cause."""
        self._unasked[name] = asyncio.create_task(self._try(name, change, *arguments))

    async def _try(self, name: str, change: Callable[..., Awaitable[object]], *arguments: Path) -> None:
        try:
            await change(*arguments)
        except BundleRefused:
            pass  # logged already
        except SwapInProgress as error:
            log.warning("%s had no effect: %s", name, error.detail)
        except Exception:
            log.exception("%s failed; %s stays in service", name, title(self.current.bundle))
