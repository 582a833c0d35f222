"""The real Chromium, of Debian's package `chromium`, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def executable() -> str:
    """Where Chromium lies; without it the test is skipped, but never in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have chromium: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of a browser, with all that it complained of and every address that it asked."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def painted(self, selector: str) -> int:
        """How many different colours the first canvas below `selector` shows: one if nothing is drawn."""
        count: int = self.page.evaluate(
            """selector => {
                const canvas = document.querySelector(selector).querySelector("canvas");
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return new Set(new Uint32Array(data.buffer)).size;
            }""",
            selector,
        )
        return count


@contextmanager
def opened(
    browser: Browser, address: str, *, width: int = 1280, height: int = 900, **context_options: Any
) -> Iterator[Tab]:
    """A tab at `address` in a context of its own, `width` x `height` CSS pixels."""
    context: BrowserContext = browser.new_context(viewport={"width": width, "height": height}, **context_options)
    page = context.new_page()
    tab = Tab(page)
    page.on("console", lambda message: tab.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    page.on("request", lambda request: tab.addresses.append(request.url))
    page.goto(address)
    try:
        yield tab
    finally:
        context.close()
