"""Columns on the page: the changed one is on top, with its change in words."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.support.browser import opened
from tests.support.process import running_service
from tests.support.toy import instances, toy_table_bundle


def test_the_changed_one_is_on_top(tmp_path: Path, browser: Browser) -> None:
    bundle = toy_table_bundle(tmp_path, columns=25)
    rows = instances(300, (25,), "float32", seed=5)
    rows[:, 7] += 2
    settings = {"rows_between_false_alarms": 1000}
    with running_service(bundle, **settings) as service, opened(browser, service) as tab:
        tab.wait_for("#columns-what", "0 of 26 drifting; alarm at evidence of 2.6 × 10⁴; 6 more at /drift/columns")
        for begin in range(0, 300, 10):
            sent = {"instances": [row.tolist() for row in rows[begin : begin + 10]]}
            assert service.client.post("/score", json=sent).status_code == 200
        tab.wait_for("#columns-what", "1 of 26 drifting; alarm at evidence of 2.6 × 10⁴; 6 more at /drift/columns")
        shown = tab.page.locator("#columns tbody tr").all()
        assert len(shown) == 20
        name, state, since, _, middle, missing, change = shown[0].locator("th, td").all_inner_texts()
        assert (name, state.split()[-1]) == ("7", "Changed")
        assert ":" in since
        assert "(usually " in middle
        assert missing == "–"
        assert change.startswith("7 higher (middle ")
        others = [row.locator("td").first.inner_text().split("\n")[-1] for row in shown[1:]]
        assert set(others) == {"OK"}
