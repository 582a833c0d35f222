"""The page behind a key: it asks for one, sends it with its polls, and forgets it when the tab is closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from harmgauge.auth.keys import new_key
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import RunningService, running_service

API, METRICS = new_key("shop"), new_key("viewer")
PICTURE = SHIPPED_BUNDLE / "report" / "corrupted.png"
LIVE = "#connection[data-state=ok]"


@pytest.fixture(scope="module")
def service(browser: Browser) -> Iterator[RunningService]:
    with running_service(SHIPPED_BUNDLE, api_keys=API[1], metrics_keys=METRICS[1], client_key=METRICS[0]) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context()
    yield made
    made.close()


def opened(context: BrowserContext, service: RunningService) -> Page:
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{service.port}/")
    return page


def give(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use it").click()


def unauthorized(service: RunningService) -> float:
    found = {labels["reason"]: value for labels, value in service.metrics()["harmgauge_rejected_total"]}
    return found["unauthorized"]


def test_it_asks_for_a_key_and_lives_with_it(service: RunningService, context: BrowserContext) -> None:
    page = opened(context, service)
    page.locator("#ask").wait_for()
    assert page.locator("#connection").inner_text() == "Key required"
    assert page.locator("#lost").is_hidden()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    before = unauthorized(service)
    page.wait_for_timeout(3000)
    assert unauthorized(service) == before, "it waits for a key, and does not ask again and again"
    for wrong, why in (("wrong", "with a valid key"), ("two words", "without spaces")):
        give(page, wrong)
        page.locator("#ask-why").filter(has_text=why).wait_for()
    give(page, METRICS[0])
    page.locator(LIVE).wait_for()
    assert page.locator("#ask").is_hidden()
    page.reload()
    page.locator(LIVE).wait_for()
    assert page.evaluate("[localStorage.getItem('harmgauge-key'), document.cookie]") == [None, ""]
    other = opened(context, service)
    other.locator("#ask").wait_for()


def test_a_key_that_only_looks_does_not_score_and_another_does(
    service: RunningService, context: BrowserContext
) -> None:
    page = opened(context, service)
    give(page, METRICS[0])
    page.locator(LIVE).wait_for()
    page.set_input_files("#file", PICTURE)
    page.locator("#result .error").filter(has_text="has the role 'metrics'").wait_for()
    give(page, API[0])
    page.set_input_files("#file", PICTURE)
    page.locator("#score").wait_for()
    page.locator(LIVE).wait_for()


def test_a_page_that_is_open_asks_only_to_score(browser: Browser, context: BrowserContext) -> None:
    with running_service(SHIPPED_BUNDLE, api_keys=API[1], open="page") as service:
        page = opened(context, service)
        page.locator(LIVE).wait_for()
        assert page.locator("#ask").is_hidden()
        page.set_input_files("#file", PICTURE)
        give(page, API[0])
        page.set_input_files("#file", PICTURE)
        page.locator("#score").wait_for()
