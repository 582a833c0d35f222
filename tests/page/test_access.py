"""Accessibility of the page: dark and light, on a phone, by keyboard, and for screen readers."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.conftest import SHIPPED_BUNDLE
from tests.support.browser import opened
from tests.support.page_traffic import samples, score_some
from tests.support.process import RunningService

PICTURE = SHIPPED_BUNDLE / "report" / "corrupted.png"


def lightness(page: Page) -> float:
    """The lightness of the background, 0 to 255."""
    channels: list[int] = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    return sum(channels) / 3


@pytest.mark.parametrize("system", ["light", "dark"])
def test_it_begins_as_the_system_is_and_keeps_what_was_chosen(
    service: RunningService, browser: Browser, system: Any
) -> None:
    with opened(browser, service, color_scheme=system) as tab:
        is_dark = system == "dark"
        button = tab.page.get_by_role("button", name="Dark")
        assert (lightness(tab.page) < 60) == is_dark
        assert button.get_attribute("aria-pressed") == str(is_dark).lower()
        button.click()
        assert (lightness(tab.page) < 60) != is_dark
        tab.page.reload()
        tab.wait_for("#connection", "Live")
        assert (lightness(tab.page) < 60) != is_dark


def test_charts_take_the_colours_of_the_theme(service: RunningService, browser: Browser) -> None:
    with opened(browser, service, color_scheme="light") as tab:
        assert tab.painted("scores", "neutral") > 20
        tab.page.get_by_role("button", name="Dark").click()
        assert tab.painted("scores", "neutral") > 20, "drawn anew"


@pytest.mark.parametrize("wide", [320, 360])
def test_a_phone_needs_no_sideways_scrolling(service: RunningService, browser: Browser, wide: int) -> None:
    score_some(service, samples().corrupted, 300)
    with opened(browser, service, width=wide, height=740, has_touch=True, is_mobile=True) as tab:
        tab.page.set_input_files("#file", PICTURE)
        tab.page.locator("#score").wait_for()
        for summary in tab.page.locator("summary").all():
            summary.click()
        width = tab.page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        assert width <= wide
        sizes = tab.page.evaluate(
            "[...document.querySelectorAll('button, .range span, summary, .zone')]"
            ".filter(each => !each.closest('[hidden]')).map(each => each.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 24, "large enough for a finger (WCAG 2.5.8)"


def test_everything_is_reached_by_keyboard(service: RunningService, browser: Browser) -> None:
    with opened(browser, service) as tab:
        page, seen = tab.page, []
        # Registered at the start: a listener added right before the key press may reach the browser after it.
        page.on("filechooser", lambda chooser: chooser.set_files(PICTURE))
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                """() => {
                    const { activeElement: at } = document;
                    const shown = at.id === "file" ? document.querySelector("#zone") : at.closest(".range") ?? at;
                    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
                    const name = at.id || at.name || at.textContent;
                    return [name, at === document.body || outlineStyle !== "none" && outlineWidth !== "0px"];
                }"""
            )
            assert focused[1], f"{focused[0]} shows no focus"
            seen.append(focused[0])
            if focused[0] == "theme":
                before = lightness(page)
                page.keyboard.press("Space")
                assert abs(lightness(page) - before) > 100
            if focused[0] == "range":
                page.keyboard.press("ArrowRight")
                assert page.locator("[name=range]:checked").get_attribute("value") != "300"
            if focused[0] == "Numbers" and seen.count("Numbers") == 1:
                page.keyboard.press("Enter")
                page.locator("#accuracy table").wait_for()
            if focused[0] == "file":
                page.keyboard.press("Space")
                page.locator("#score").wait_for()
                break
        assert seen[0] == "Skip to the content"
        assert {"API", "theme", "range", "file"} <= set(seen)
        assert seen.count("Numbers") == 8


def test_axe_finds_nothing(service: RunningService, browser: Browser) -> None:
    with opened(browser, service, color_scheme="light") as tab:
        tab.page.set_input_files("#file", PICTURE)
        tab.page.locator("#score").wait_for()
        tab.page.locator("#scores summary").click()
        light = Axe().run(tab.page)
        tab.page.get_by_role("button", name="Dark").click()
        dark = Axe().run(tab.page)
        tab.page.set_viewport_size({"width": 360, "height": 740})
        phone = Axe().run(tab.page)
    for found in (light, dark, phone):
        assert found.violations_count == 0, found.generate_report()
