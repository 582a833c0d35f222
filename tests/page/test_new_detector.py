"""A drift detector unknown to the page has a card and a line like the others."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from harmgauge.page.recorder import SAMPLE_SECONDS
from tests.support.browser import opened
from tests.support.process import running_module, wait_until
from tests.support.toy import instances


def test_it_is_drawn_and_named(image_bundle_path: Path, browser: Browser) -> None:
    with (
        running_module("tests.support.toy_drift", image_bundle_path, {}, fresh=False) as service,
        opened(browser, service) as tab,
    ):
        service.score(instances(80, (4, 4, 3)))
        tab.wait_for("#detector-mean_score .state", "OK")
        assert set(tab.figures("mean_score")) == {"Statistic", "Window"}
        assert tab.page.locator("#detector-mean_score h2").inner_text() == "mean_score"
        tab.wait_for("#evidence .legend", "mean_score")
        wait_until(lambda: tab.painted("evidence", "second") > 5, 4 * SAMPLE_SECONDS)
