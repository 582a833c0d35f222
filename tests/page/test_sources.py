"""Sources on the page: no table without any, and the drifting ones on top."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from harmgauge.bundle.picture_measures import MEASURES
from tests.support.browser import opened
from tests.support.process import RAW, RunningService, running_service
from tests.support.toy import instances, toy_bundle

SHAPE = (4, 4, 3)


def send(service: RunningService, source: str, body: bytes, times: int) -> None:
    for _ in range(times):
        headers = {**RAW, "X-Harmgauge-Source": source}
        assert service.client.post("/score", content=body, headers=headers).status_code == 200


def test_the_broken_one_is_on_top(tmp_path: Path, browser: Browser) -> None:
    bundle = toy_bundle(tmp_path, error_probability=True)
    harmful = np.maximum(instances(4, SHAPE), 200).tobytes()  # the mean of P rises from .10 to .24
    clean = instances(1, SHAPE).tobytes()
    settings = {"rows_between_false_alarms": 1000, "feature_mmd": False}
    with running_service(bundle, **settings) as service, opened(browser, service) as tab:
        service.score(instances(3, SHAPE))
        tab.wait_for("#connection", "Live")
        assert not tab.page.locator("#sources").is_visible()
        for number in range(25):
            send(service, f"camera-<b>{number}</b>", clean, 2)
        send(service, "camera-<b>7</b>", harmful, 60)
        tab.wait_for("#sources-what", "1 of 25 drifting; alarm at evidence of 1000; 5 more at /drift/sources")
        rows = tab.page.locator("#sources tbody tr").all()
        assert len(rows) == 20
        name, state, since, _, accuracy, count, seen = rows[0].locator("th, td").all_inner_texts()
        assert (name, state.split()[-1], count) == ("camera-<b>7</b>", "Harm", "242")
        assert accuracy.endswith("%")
        assert seen.endswith("ago")
        assert ":" in since
        others = [row.locator("td").first.inner_text().split("\n")[-1] for row in rows[1:]]
        assert set(others) == {"Warming up"}
        names = [row.locator("th").inner_text() for row in tab.page.locator("#columns tbody tr").all()]
        assert set(names) == {*MEASURES, "predicted class"}
