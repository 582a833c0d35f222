"""The contact sheet of real captured images, in a real browser, as a file on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import run_here, running_service


def test_a_browser_shows_every_picture_and_asks_for_nothing_else(browser: Browser, tmp_path: Path) -> None:
    rows = read_samples(load(SHIPPED_BUNDLE)).corrupted[:40]
    folder, sheet = tmp_path / "captured", tmp_path / "sheet.html"
    with running_service(SHIPPED_BUNDLE, capture_dir=folder) as service:
        headers = {"X-Request-Id": "<img/src=x/onerror=document.title='taken'>", "Content-Type": "application/x-npy"}
        np.save(tmp_path / "rows.npy", rows)
        answer = service.client.post("/score", content=(tmp_path / "rows.npy").read_bytes(), headers=headers).json()
        service.terminate()
        assert service.wait() == 0
    scores = sorted(np.array(answer["scores"])[answer["is_adversarial"]], reverse=True)
    assert len(scores) > 10
    assert run_here("captured", str(folder), "--html", str(sheet)).returncode == 0

    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(sheet.as_uri())
    sizes = page.locator("img").evaluate_all("images => images.map(image => [image.naturalWidth, image.naturalHeight])")
    assert sizes == [[32, 32]] * len(scores)
    shown = [float(text) for text in page.locator("figcaption b").all_inner_texts()]
    np.testing.assert_allclose(shown, scores, rtol=1e-3)
    assert page.title() == "Flagged inputs"
    assert [url for url in asked if not url.startswith("data:")] == [sheet.as_uri()]
    assert complaints == []
    page.close()
