"""The real Chromium, from Debian's package `chromium`, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.support.process import RunningService

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def executable() -> str:
    """The path of Chromium; if it is missing the test is skipped, but never in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have chromium: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    path = executable()  # before Playwright starts a process of Node.js
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A browser tab, with its errors and every address that it requested."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def painted(self, panel: str, colour: str) -> int:
        """The number of pixels of a panel's canvas in the colour that this custom property has in the page's theme."""
        count: int = self.page.evaluate(
            """async ([panel, name]) => {
                const { colour } = await import("/page/dom.js");
                const [red, green, blue] = colour(name).match(/[\\d.]+/g).map(Number);
                const canvas = document.querySelector(`#${panel} canvas`);
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let count = 0;
                for (let at = 0; at < data.length; at += 4)
                    if (data[at + 3] > 100 && Math.abs(data[at] - red) < 3 && Math.abs(data[at + 1] - green) < 3
                        && Math.abs(data[at + 2] - blue) < 3) count += 1;
                return count;
            }""",
            [panel, colour],
        )
        return count

    def figures(self, detector: str) -> dict[str, str]:
        """The texts of a detector's card, by the name of the figure."""
        card = self.page.locator(f"#detector-{detector}")
        return dict(
            zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True),
        )

    def wait_for(self, selector: str, text: str, timeout_seconds: float = 30) -> None:
        """Wait until the element shows this text."""
        found = self.page.locator(selector).filter(has_text=text)
        found.first.wait_for(timeout=timeout_seconds * 1000)


@contextmanager
def opened(
    browser: Browser,
    service: RunningService,
    *,
    path: str = "",
    width: int = 1280,
    height: int = 900,
    **context_options: Any,
) -> Iterator[Tab]:
    """A tab with the service's page (already live) or another `path`, in a new browser context of `width` x `height`
    CSS pixels.

    On exit, fails if the page logged an error to the console, or requested another address.
    """
    address = f"http://127.0.0.1:{service.port}/"
    context: BrowserContext = browser.new_context(viewport={"width": width, "height": height}, **context_options)
    page = context.new_page()
    tab = Tab(page)
    page.on("console", lambda message: tab.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    page.on("request", lambda request: tab.addresses.append(request.url))
    page.goto(address + path)
    try:
        if not path:
            tab.wait_for("#connection", "Live")
        yield tab
    except PlaywrightError as error:  # the page's own errors explain more
        error.add_note(f"the page complained of {tab.complaints}, and asked {tab.addresses}")
        raise
    finally:
        context.close()
    assert not tab.complaints
    assert all(asked.startswith((address, "data:")) for asked in tab.addresses)
