"""A bundle with inputs by name has a form on the page, which scores as `POST /score` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import opened
from tests.support.process import RunningService, running_service
from tests.support.toy_named import table_rows, toy_strings, toy_table, toy_tokens


def expected(service: RunningService, instance: Any) -> float:
    answer = service.client.post("/score", json={"instances": [instance]})
    assert answer.status_code == 200, answer.text
    return float(answer.json()["scores"][0])


def shown(page: Page) -> float:
    return float(page.locator("#score").get_attribute("data-score") or "nan")


def test_a_table_has_a_field_for_each_column(browser: Browser, tmp_path: Path) -> None:
    record = {name: array[0, 0].item() for name, array in table_rows(1).items()}
    record |= {"age": None, "fnlwgt": 0.25}
    with running_service(toy_table(tmp_path)) as service, opened(browser, service) as tab:
        assert tab.page.locator("#try-input form label").all_inner_texts() == list(record)
        for key, value in record.items():
            tab.page.get_by_label(key, exact=True).fill("" if value is None else str(value))
        tab.page.click("#try-input button")
        tab.page.wait_for_selector("#score")
        assert shown(tab.page) == pytest.approx(expected(service, record), rel=1e-6)
        tab.page.get_by_label("race", exact=True).fill("x" * 131_073)
        tab.page.click("#try-input button")
        tab.page.wait_for_selector("#result .error")
        assert "instances[0].race: the string has 131073 characters" in tab.page.inner_text("#result .error")
        tab.complaints.clear()  # the browser reports the 422


def test_lists_are_entered_as_json(browser: Browser, tmp_path: Path) -> None:
    with running_service(toy_tokens(tmp_path)) as service, opened(browser, service) as tab:
        tab.page.get_by_label("input_ids", exact=True).fill("[3, 4")
        tab.page.get_by_label("attention_mask", exact=True).fill("[1, 1]")
        tab.page.click("#try-input button")
        tab.page.wait_for_selector("#result .error")
        assert tab.page.inner_text("#result .error") == "input_ids: expected a JSON list, such as [1, 2, 3]."
        tab.page.get_by_label("input_ids", exact=True).fill("[3, 4]")
        tab.page.click("#try-input button")
        tab.page.wait_for_selector("#score")
        assert shown(tab.page) == pytest.approx(
            expected(service, {"input_ids": [3, 4], "attention_mask": [1, 1]}), rel=1e-6
        )


def test_one_string_has_a_box_for_a_text(browser: Browser, tmp_path: Path) -> None:
    with running_service(toy_strings(tmp_path)) as service, opened(browser, service) as tab:
        tab.page.get_by_label("message", exact=True).fill("Private")
        tab.page.click("#try-input button")
        tab.page.wait_for_selector("#score")
        assert shown(tab.page) == pytest.approx(expected(service, "Private"), rel=1e-6)
        assert tab.page.locator("#try-input textarea").count() == 1
