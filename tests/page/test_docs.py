"""`/docs` in a real browser: all its files come from the service, and "Try it out" reaches the service."""

from __future__ import annotations

from playwright.sync_api import Browser

from harmgauge.auth.keys import new_key
from tests.conftest import SHIPPED_BUNDLE
from tests.support.browser import opened
from tests.support.process import RunningService, running_service


def test_it_asks_nobody_else_and_tries_a_route(service: RunningService, browser: Browser) -> None:
    with opened(browser, service, path="docs") as tab:
        route = tab.page.locator("#operations-health-readyz_readyz_get")
        route.wait_for()
        route.click()
        tab.page.get_by_role("button", name="Try it out").click()
        tab.page.get_by_role("button", name="Execute").click()
        tab.wait_for(".live-responses-table", "ready")


def test_a_key_that_is_typed_in_is_sent(browser: Browser) -> None:
    key, line = new_key("reader")
    with (
        running_service(SHIPPED_BUNDLE, api_keys=line) as service,
        opened(browser, service, path="docs") as tab,
    ):
        tab.page.get_by_role("button", name="Authorize").click()
        tab.page.locator(".auth-container input").fill(key)
        tab.page.locator(".auth-container button[type=submit]").click()
        tab.page.locator(".btn-done").click()
        tab.page.locator("[id$='info_get']").first.click()
        tab.page.get_by_role("button", name="Try it out").click()
        tab.page.get_by_role("button", name="Execute").click()
        tab.wait_for(".live-responses-table", "cifar10-resnet32")
