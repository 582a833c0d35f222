"""Accuracy comes first on the page: its estimate with the interval, its history, its classes, and whether it fell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from harmgauge.bundle.load import load
from harmgauge.inference.scorer import Scorer
from harmgauge.page.recorder import SAMPLE_SECONDS
from tests.support.browser import Tab, opened
from tests.support.page_traffic import GAUGED, samples, score_some
from tests.support.process import RunningService, running_service, wait_until
from tests.support.toy import instances, toy_bundle

SPACE = "\N{NO-BREAK SPACE}"


def accuracy(service: RunningService) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get("/drift").json()["accuracy"]
    return found


def wait_for_a_sample(service: RunningService) -> None:
    """Wait for a sample that includes everything scored so far."""
    now = time.time()
    wait_until(lambda: (service.client.get("/page/history").json()["time"] or [0])[-1] > now, 4 * SAMPLE_SECONDS)


def shown_classes(tab: Tab) -> list[tuple[str, str, str]]:
    rows = tab.page.locator("#classes tbody tr").all()
    texts = [row.locator("th, td:not([aria-hidden])").all_inner_texts() for row in rows]
    return [(name, share, count) for name, share, count in texts]


@pytest.fixture(scope="module")
def fresh(browser: Browser) -> Iterator[tuple[RunningService, Tab]]:
    """A service and its page, for tests that build on each other."""
    with running_service(GAUGED) as service, opened(browser, service) as tab:
        yield service, tab


def test_before_any_traffic(fresh: tuple[RunningService, Tab]) -> None:
    service, tab = fresh
    base = round(100 * accuracy(service)["base"])
    tab.wait_for("#verdict", "No traffic yet")
    assert (
        f"After 100 inputs, an estimate of accuracy appears here, made without labels. Accuracy was {base}{SPACE}% on"
        in (tab.page.locator("#because").inner_text())
    )
    assert "inputs far from every disturbance" in tab.page.locator("#limits").inner_text()
    assert "attacks that the bundle does not detect" in tab.page.locator("#limits").inner_text()
    assert tab.page.locator("#classes .empty").is_visible()
    assert tab.painted("accuracy", "muted") > 20, "clean data"
    assert tab.painted("accuracy", "bad") > 20, "the limit"
    assert tab.painted("accuracy", "first") == 0


def test_with_a_few_inputs_it_is_too_early_to_say(fresh: tuple[RunningService, Tab]) -> None:
    service, tab = fresh
    score_some(service, samples().clean, 40)
    tab.wait_for("#verdict", "Accuracy: too early to say")
    tab.wait_for("#because", "An estimate without labels needs 100 inputs; 40 so far")
    assert tab.page.locator("#classes tbody tr.few").count() > 0
    wait_for_a_sample(service)
    history = service.client.get("/page/history").json()
    assert history["accuracy.estimate"][-1] is None


def test_clean_traffic_is_fine(fresh: tuple[RunningService, Tab]) -> None:
    service, tab = fresh
    score_some(service, samples().clean, 960, seed=1)
    wait_for_a_sample(service)
    found = accuracy(service)
    tab.wait_for("#because", "from the last 1,000 inputs")
    assert tab.page.locator("#verdict").inner_text() == f"Accuracy about {100 * found['estimate']:.0f}{SPACE}%"
    assert tab.page.locator("#because").inner_text() == (
        f"{100 * found['lower']:.0f} to {100 * found['upper']:.0f}{SPACE}%, estimated without labels from the last "
        f"1,000 inputs; was {100 * found['base']:.0f}{SPACE}% on clean data."
    )
    tab.wait_for("#standing-state", "Fine")
    assert "has not fallen by more than 2 points" in tab.page.locator("#standing").inner_text()
    assert tab.page.title() == f"Accuracy about {100 * found['estimate']:.0f}{SPACE}% – harmgauge"

    expected = sorted(found["classes"], key=lambda each: each["accuracy"])
    assert min(each["rows"] for each in expected) >= 10
    rows = [(each["class"], f"{100 * each['accuracy']:.0f} %", f"{each['rows']}") for each in expected]
    wait_until(lambda: shown_classes(tab) == rows, 3 * SAMPLE_SECONDS)

    wait_until(lambda: tab.painted("accuracy", "first") > 20, 3 * SAMPLE_SECONDS)
    legend = [f"{100 * found[part]:.3g} %" for part in ("estimate", "lower", "upper")]
    for text in legend:
        tab.wait_for("#accuracy .legend b", text)
    words = f"Estimate of accuracy over time, now {legend[0]}, {legend[1]} to {legend[2]}."
    wait_until(lambda: tab.page.locator("#accuracy .plot").get_attribute("aria-label") == words, 3 * SAMPLE_SECONDS)
    tab.page.locator("#accuracy summary").click()
    cells = tab.page.locator("#accuracy tbody tr:first-child").locator("th, td")
    wait_until(lambda: cells.all_inner_texts()[1:] == legend, 3 * SAMPLE_SECONDS)


def test_disturbed_traffic_is_harm_and_stays_in_the_history(fresh: tuple[RunningService, Tab]) -> None:
    service, tab = fresh
    score_some(service, samples().corrupted, 600)
    tab.wait_for("#standing-state", "Harm")
    assert "has fallen by more than 2 points: alarm at" in tab.page.locator("#standing").inner_text()
    changed = tab.page.locator("#changes[aria-live]").inner_text()  # the newest: other detectors follow
    assert changed.startswith("harm: Alarm") or ": Drifting" in changed
    wait_for_a_sample(service)
    found = accuracy(service)
    assert found["upper"] < found["base"] - 0.1
    tab.wait_for("#verdict", f"Accuracy about {100 * found['estimate']:.0f}")
    assert tab.page.locator("#verdict").get_attribute("data-state") == "drifting"
    assert tab.page.title().startswith("▲ Accuracy about")
    assert "Alarm" in tab.page.locator("#detector-harm .state").inner_text()
    order = tab.page.locator("#detectors article").evaluate_all("all => all.map(({ id }) => id)")
    assert order[0] == "detector-harm"
    tab.page.reload()
    tab.wait_for("#standing-state", "Harm")
    tab.page.locator("#accuracy summary").click()
    tab.page.locator("#accuracy tbody tr").first.wait_for()
    estimates = tab.page.locator("#accuracy tbody td:nth-child(2)").all_inner_texts()
    shares = [float(text.removesuffix(" %")) / 100 for text in estimates if text != "–"]
    assert shares[0] == pytest.approx(found["estimate"], abs=6e-4), "the newest first"
    assert max(shares) > found["base"] - 0.02, "of the clean traffic before"
    # A band as wide as the interval is drawn around the line.
    assert tab.painted("accuracy", "first") > 20


def test_inputs_that_changed_without_harm(browser: Browser) -> None:
    """Easy inputs only: their scores are lower than the reference's, and nothing is wrong with the classifier."""
    clean = samples().clean
    easiest = np.argsort(Scorer(load(GAUGED)).score(clean).scores)[:150]
    with running_service(GAUGED, window_rows=500) as service, opened(browser, service) as tab:
        score_some(service, clean[easiest], 600)
        tab.wait_for("#standing-state", "Changed")
        text = tab.page.locator("#standing-text").inner_text()
        assert text.startswith("Inputs have changed, first at ")
        assert text.endswith("the estimate of accuracy has not fallen by more than 2 points.")
        assert tab.page.locator("#verdict").inner_text().startswith("Accuracy about")
        assert not tab.page.title().startswith("▲")


HARM = {"state": "ok", "since": "2026-01-01T10:00:00Z", "accuracy_drop": 0.02, "accuracy_limit": 0.9, "total_rows": 500}
FOUND = {"estimate": 0.91, "lower": 0.89, "upper": 0.93, "base": 0.92, "rows": 500, "window_rows": 1000}
ALARM = {**HARM, "state": "drifting"}
CHANGED = {"score_ks": ALARM}

VERDICTS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "fine": ({}, {}, "Fine", "The estimate of accuracy has not fallen by more than 2 points."),
    "below, and not yet an alarm": ({}, {"estimate": 0.89}, "Lower", "below 90 %, but the evidence is not enough"),
    "below and changed": (CHANGED, {"estimate": 0.89}, "Lower", "Inputs have changed, first at"),
    "changed": (CHANGED, {}, "Changed", "the estimate of accuracy has not fallen by more than 2 points."),
    "harm, whatever else": (
        {"harm": ALARM, **CHANGED},
        {"estimate": 0.6},
        "Harm",
        "The estimate of accuracy has fallen by more than 2 points: alarm",
    ),
    "harm that is over": ({"harm": ALARM}, {}, "Harm", "It is above 90 % again: acknowledge the alarm"),
    "harm before there is an interval": ({"harm": ALARM}, {"lower": None, "rows": 40}, "Harm", "has fallen by more"),
    "changed before there is an interval": (CHANGED, {"lower": None, "rows": 40}, "Changed", "Inputs have changed"),
    "another drop": ({"harm": HARM | {"accuracy_drop": 0.055}}, {}, "Fine", "by more than 5.5 points"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts(fresh: tuple[RunningService, Tab], case: str) -> None:
    detectors, parts, word, text = VERDICTS[case]
    state = {"detectors": {"harm": HARM, **detectors}, "accuracy": {**FOUND, **parts}, "time": 1.8e9}
    _, tab = fresh
    found = tab.page.evaluate(
        "async ([state, info]) => (await import('/page/verdict.js')).verdict(state, info)",
        [state, {"error_probability": {"target": "wrong"}}],
    )
    assert found["standing"]["word"] == word
    assert text in found["standing"]["text"]
    assert (found["state"] == "drifting") == (word == "Harm")


def test_an_accuracy_that_was_stated_is_called_so(fresh: tuple[RunningService, Tab]) -> None:
    _, tab = fresh
    state = {"detectors": {"harm": HARM}, "accuracy": FOUND, "time": 1.8e9}
    found = tab.page.evaluate(
        "async ([state, info]) => (await import('/page/verdict.js')).verdict(state, info)",
        [state, {"error_probability": {"target": "changed"}}],
    )
    assert found["because"].endswith(f"was 92{SPACE}% on clean data, as stated at build.")


@pytest.mark.parametrize(("total", "heading"), [(0, "No traffic yet"), (700, "No recent traffic")])
def test_a_window_whose_inputs_are_too_old(fresh: tuple[RunningService, Tab], total: int, heading: str) -> None:
    _, tab = fresh
    empty = FOUND | {"estimate": None, "lower": None, "upper": None, "rows": 0}
    state = {"detectors": {"harm": HARM | {"total_rows": total}}, "accuracy": empty, "time": 1.8e9}
    found = tab.page.evaluate("async state => (await import('/page/verdict.js')).verdict(state, {})", state)
    assert found["heading"] == heading
    assert found["standing"]["word"] == "Waiting"


def test_more_than_a_hundred_classes_are_not_listed(tmp_path: Path, browser: Browser) -> None:
    bundle = toy_bundle(tmp_path, classes=101, error_probability=True)
    with running_service(bundle) as service, opened(browser, service) as tab:
        service.score(instances(120, (4, 4, 3)))
        tab.wait_for("#verdict", "Accuracy about")
        assert not tab.page.locator("#classes").is_visible()
        boxes = [tab.page.locator(each).bounding_box() for each in ("#accuracy", "#gauge")]
        assert boxes[0] is not None
        assert boxes[1] is not None
        assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
