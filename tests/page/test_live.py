"""The live page in a real browser with the real service: it shows what the service reports."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Browser

from harmgauge.page.recorder import SAMPLE_SECONDS
from tests.support.browser import Tab, opened
from tests.support.page_traffic import GAUGED, PLAIN, samples, score_some
from tests.support.process import RunningService, running_service, wait_until

WORDS = {"ok": "OK", "warming": "Warming up", "drifting": "Drifting"}


def written(tab: Tab, how: str, value: float) -> str:
    """The number as the page formats it: by `number`, or by `fromLog10` if `value` is a logarithm."""
    text: str = tab.page.evaluate(f"async value => (await import('/page/format.js')).{how}(value)", value)
    return text


def check_values(tab: Tab, drift: dict[str, Any]) -> None:
    ks, evidence, mmd = (drift[name] for name in ("score_ks", "score_evidence", "feature_mmd"))

    def p_value(found: dict[str, Any]) -> str:
        limit = f"alarm {written(tab, 'number', found['p_value_threshold'])}".replace(" ", "\N{NO-BREAK SPACE}")
        return f"{written(tab, 'fromLog10', found['log10_p_value'])} · {limit}"

    def of_threshold(found: dict[str, Any]) -> str:
        return f"{written(tab, 'number', found['statistic'])} of {written(tab, 'number', found['threshold'])}"

    assert tab.figures("score_ks") == {
        "p-value": p_value(ks),
        "KS statistic": of_threshold(ks),
        "Window": f"{ks['rows']:,}",
    }
    shown = tab.figures("score_evidence")
    assert (shown["Evidence"], shown["Inputs so far"]) == (of_threshold(evidence), f"{evidence['rows']:,}")
    assert tab.figures("feature_mmd") == {
        "p-value": p_value(mmd),
        "MMD²": written(tab, "number", mmd["statistic"]),
        "Window": f"{mmd['rows']:,}",
    }
    if "harm" in drift:
        assert tab.figures("harm") == {
            "Evidence": of_threshold(drift["harm"]),
            "Accuracy limit": written(tab, "percent", drift["harm"]["accuracy_limit"]),
            "Inputs so far": f"{drift['harm']['rows']:,}",
        }
    for name, found in drift.items():
        assert WORDS[found["state"]] in tab.page.locator(f"#detector-{name} .state").inner_text()


def detectors(service: RunningService) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get("/drift").json()["detectors"]
    return found


NUMBERS = [
    ("number", 0, "0"),
    ("number", 0.07782, "0.0778"),
    ("number", 9.8915, "9.89"),
    ("number", 1e6, "10⁶"),
    ("number", 8e-5, "8 × 10⁻⁵"),
    ("number", -0.00014, "−1.4 × 10⁻⁴"),
    ("number", 9.99e-5, "10⁻⁴"),
    ("fromLog10", -41.14, "7.2 × 10⁻⁴²"),
    ("fromLog10", -1000.0, "10⁻¹⁰⁰⁰"),
    ("fromLog10", -0.5, "0.316"),
    ("about", 0.9149, "91\N{NO-BREAK SPACE}%"),
    ("about", 0.9938, "99.4\N{NO-BREAK SPACE}%"),
    ("about", 1.0, "100\N{NO-BREAK SPACE}%"),
    ("points", 0.02, "2 points"),
    ("points", 0.01, "1 point"),
    ("points", 0.0234, "2.3 points"),
]


def test_numbers_are_written_as_people_do(service: RunningService, browser: Browser) -> None:
    with opened(browser, service) as tab:
        assert [written(tab, how, value) for how, value, _ in NUMBERS] == [text for *_, text in NUMBERS]


def test_before_any_traffic_it_says_so(service: RunningService, browser: Browser) -> None:
    with opened(browser, service) as tab:
        tab.wait_for("#verdict", "No traffic yet")
        assert "Warming up" in tab.page.locator("#detector-score_ks").inner_text()
        assert tab.figures("score_ks") == {"In the window": "0 of 1,000 inputs"}
        assert tab.page.locator("#model").inner_text() == " / ".join(GAUGED.parts[-2:])


def test_values_are_those_of_drift_and_every_chart_draws(service: RunningService, browser: Browser) -> None:
    score_some(service, samples().clean, 1000)
    wait_until(lambda: detectors(service)["feature_mmd"]["state"] == "ok", 30)
    sampled_at = time.time()  # samples taken after it include all 1000
    wait_until(lambda: (service.client.get("/page/history").json()["time"] or [0])[-1] > sampled_at, 4 * SAMPLE_SECONDS)
    with opened(browser, service) as tab:
        tab.wait_for("#verdict", "Accuracy about")
        check_values(tab, detectors(service))
        about, state = (service.client.get(f"/page/{name}").json() for name in ("about", "state"))
        assert tab.page.locator("#flagged .legend b").inner_text() == f"{state['flagged_share'] * 100:.3g} %"
        tab.wait_for("#embedding .legend", "Recent 500")
        drawn = {"evidence": "first", "flagged": "first", "throughput": "first", "scores": "first"}
        for panel, colour in drawn.items():
            wait_until(lambda panel=panel, colour=colour: tab.painted(panel, colour) > 20)
        assert tab.painted("p-value", "second") > 20, "the threshold of feature_mmd"
        assert tab.painted("scores", "bad") > 20, "the threshold of the flag"
        assert tab.painted("embedding", "first-dot") > 200
        assert tab.painted("embedding", "neutral-dot") > 200

        # And in words and numbers, for people who do not see the charts.
        words = tab.page.locator("#scores .plot").get_attribute("aria-label")
        assert words is not None
        assert "1,000 scores in the window and 5,000 reference scores" in words
        tab.page.locator("#scores summary").click()
        tab.page.locator("#scores tbody").wait_for()
        cells = tab.page.locator("#scores tbody tr:last-child").locator("th, td").all_inner_texts()
        assert cells[2] == f"{about['reference_shares'][0] * 100:.3g} %"
        assert cells[1] == f"{state['window_shares'][0] * 100:.3g} %"
        for panel in ("p-value", "evidence", "flagged", "throughput", "latency"):
            tab.page.locator(f"#{panel} summary").click()
            tab.page.locator(f"#{panel} tbody tr").first.wait_for()


def test_drift_becomes_visible_without_an_estimate(browser: Browser) -> None:
    with running_service(PLAIN, window_rows=500) as service, opened(browser, service) as tab:
        score_some(service, samples().clean, 600)
        wait_until(lambda: detectors(service)["feature_mmd"]["state"] == "ok", 30)
        tab.wait_for("#verdict", "No drift")
        reason = service.client.get("/drift").json()["accuracy_missing"]
        assert tab.page.locator("#limits").inner_text() == f"No estimate of accuracy: {reason}"
        assert not tab.page.locator("#gauge").is_visible()
        assert not tab.page.locator("#standing").is_visible()
        assert not tab.page.title().startswith("▲")
        score_some(service, samples().corrupted, 600)
        tab.wait_for("#verdict", "Drift detected")
        tab.wait_for("#because", "scores are higher than the reference")
        tab.wait_for("#detector-score_ks .state", "Drifting")
        tab.wait_for("#detector-score_evidence .state", "Drifting")
        assert tab.page.title().startswith("▲ Drift")
        tab.wait_for("#detector-feature_mmd .state", "Drifting", timeout_seconds=60)
        assert "feature_mmd: Drifting" in tab.page.locator("#changes[aria-live]").inner_text()
        tab.wait_for("#because", "All detectors in alarm")
        wait_until(lambda: tab.painted("p-value", "first") > 20, 3 * SAMPLE_SECONDS)
        tab.page.reload()
        tab.wait_for("#verdict", "Drift detected")
        check_values(tab, detectors(service))


def test_connection_lost_and_found_again(image_bundle_path: Any, browser: Browser) -> None:
    with running_service(image_bundle_path) as service, opened(browser, service) as tab:
        service.process.kill()
        tab.wait_for("#connection", "Connection lost")
        assert tab.page.locator("#lost[role=alert]").is_visible()
        assert "stale" in (tab.page.locator("body").get_attribute("class") or "")
        with running_service(image_bundle_path, port=service.port):
            tab.wait_for("#connection", "Live")
            assert tab.page.locator("#lost").is_hidden()
            assert "stale" not in (tab.page.locator("body").get_attribute("class") or "")
            tab.page.goto("about:blank")  # it polls no more
        # The browser itself complains about an unreachable server; the page's own code must not.
        tab.complaints[:] = [text for text in tab.complaints if "net::ERR" not in text]
