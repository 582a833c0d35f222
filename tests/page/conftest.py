"""One browser and one service on the default bundle per file: while Playwright is open it keeps an event loop running,
in which other tests could not run theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import running_browser
from tests.support.page_traffic import GAUGED
from tests.support.process import RunningService, running_service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def service(browser: Browser) -> Iterator[RunningService]:
    """Started after the browser, without which no test here needs it."""
    with running_service(GAUGED) as running:
        yield running
