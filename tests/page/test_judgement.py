"""A bundle's judgement of its own score is shown at the top of the page, and nothing if there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Browser

from tests.support.browser import opened
from tests.support.bundles import edit
from tests.support.process import running_service
from tests.support.toy import instances


def test_a_bundle_with_the_entropy_alone(image_bundle_path: Path, tmp_path: Path, browser: Browser) -> None:
    folder = Path(shutil.copytree(image_bundle_path, tmp_path / "toy" / "1"))
    edit(
        folder, lambda manifest: manifest.update(detector="entropy", score={"reason": "No <b>second</b> network won."})
    )
    judgement = {"sentence": "AUC 0.61.", "worth_serving": False}
    edit(folder, lambda manifest: manifest["quality"].update(judgement=judgement))
    with running_service(folder) as service, opened(browser, service) as tab:
        service.score(instances(3, (4, 4, 3)))
        tab.wait_for("#judged", "Not worth serving: AUC 0.61.")
        shown = tab.page.locator("#judged").inner_text()
        assert shown == "Detector entropy: No <b>second</b> network won. Not worth serving: AUC 0.61."
        assert tab.page.locator("#about").inner_text().startswith("entropy, ")


def test_a_bundle_that_says_nothing(image_bundle_path: Path, tmp_path: Path, browser: Browser) -> None:
    older = Path(shutil.copytree(image_bundle_path, tmp_path / "toy" / "1"))
    edit(older, lambda manifest: manifest["quality"].pop("judgement"))
    with running_service(older) as service, opened(browser, service) as tab:
        tab.wait_for("#about", "distillation")
        assert not tab.page.locator("#judged").is_visible()
