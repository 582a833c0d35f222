"""A fleet under the real Prometheus: three processes, real images, first clean and then corrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import ks_2samp

from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import read_samples
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import RunningService, running_service, wait_until
from tests.support.prometheus import RULES, RunningPrometheus, binary, promtool, running_prometheus, shortened
from tests.support.toy import instances

REPLICAS = 3
PHASE_SECONDS = 6
PAUSE_SECONDS = 3
"""Longer than it takes until a score is scraped and the rules are evaluated on it."""

WINDOW_SECONDS = 20
"""Replaces the 10 minutes of the rules: long enough for a phase, short enough to forget it during a test."""

SCRAPES = 8
"""Scrapes of each replica before the first row."""

D = "fleet_bundle:harmgauge_score:ks_statistic10m"
LOG10_P_VALUE = "fleet_bundle:harmgauge_score:ks_log10_p_value10m"
EVIDENCE = "fleet:harmgauge_drift_evidence:sum"
FLAGGED = "fleet:harmgauge_adversarial_per_instances:ratio_rate10m"


@dataclass
class Fleet:
    services: list[RunningService]
    prometheus: RunningPrometheus
    bundle: Bundle
    sent_rows: int = 0

    def score(self, rows: Rows) -> float:
        """Send the rows one by one over PHASE_SECONDS, to each replica its share; returns the start in Unix time."""
        begin = time.time()

        def send(replica: int) -> None:
            own = rows[replica::REPLICAS]
            for sent in range(len(own)):
                time.sleep(max(0.0, begin + PHASE_SECONDS * sent / len(own) - time.time()))
                self.services[replica].score(own[sent : sent + 1])

        with ThreadPoolExecutor(REPLICAS) as threads:
            list(threads.map(send, range(REPLICAS)))
        assert time.time() - begin < WINDOW_SECONDS - PAUSE_SECONDS - 2, "too slow: the window holds no phase any more"
        self.sent_rows += len(rows)
        wait_until(lambda: self.prometheus.value("sum(harmgauge_score_count)") == self.sent_rows, 30)
        time.sleep(PAUSE_SECONDS)
        return begin

    def newest_scores(self, rows: int) -> npt.NDArray[np.float64]:
        """The newest `rows` scores of all replicas' windows together."""
        windows = [service.score_ks(scores=True)["scores"] for service in self.services]
        shares = [len(range(replica, rows, REPLICAS)) for replica in range(REPLICAS)]
        return np.concatenate([window[-share:] for window, share in zip(windows, shares, strict=True)])

    def last_evaluation(self, before: float) -> float:
        """When the rules were last evaluated before a time, both in Unix time: their results belong to that moment."""
        found = self.prometheus.value(f"timestamp({D})", before)
        assert found is not None
        return found

    def statistic(self, scores: npt.NDArray[np.float64]) -> float:
        return float(ks_2samp(scores, self.bundle.reference.scores).statistic)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    binary("prometheus")
    with ExitStack() as stack:
        services = [stack.enter_context(running_service(SHIPPED_BUNDLE, workers=1)) for _ in range(REPLICAS)]
        ports = [service.port for service in services]
        prometheus = stack.enter_context(running_prometheus(tmp_path, shortened(RULES, f"{WINDOW_SECONDS}s"), ports))
        # From two or three scrapes, increase() extrapolates to twice the rows, and so to a p-value far too small.
        scraped = f"count(count_over_time(harmgauge_score_count[{WINDOW_SECONDS}s]) >= {SCRAPES})"
        wait_until(lambda: prometheus.value(scraped) == REPLICAS, 60)
        yield Fleet(services, prometheus, load(SHIPPED_BUNDLE))


def test_prometheus_finds_the_drift_of_a_fleet_and_nothing_before_it(fleet: Fleet) -> None:
    samples, prometheus = read_samples(fleet.bundle), fleet.prometheus

    fleet.score(samples.clean)
    clean = fleet.newest_scores(len(samples.clean))
    assert len(clean) == len(samples.clean)
    wait_until(lambda: prometheus.value(D) == pytest.approx(fleet.statistic(clean), abs=0.02), 5)
    assert prometheus.query('max_over_time(ALERTS{alertstate="firing"}[1m])') == [], "no alert while all is well"

    begin = fleet.score(samples.corrupted)
    corrupted = fleet.newest_scores(len(samples.corrupted))
    expected_alerts = {"HarmgaugeFleetDriftKs", "HarmgaugeFleetDriftEvidence"}
    if fleet.bundle.error_probability is not None:
        expected_alerts |= {"HarmgaugeHarm"}
    if fleet.bundle.sketches is not None:
        expected_alerts |= {"HarmgaugeColumnDrift"}

    def firing() -> set[str]:
        found = prometheus.query('ALERTS{alertstate="firing"}')
        return {sample["metric"]["alertname"] for sample in found}

    wait_until(lambda: firing() == expected_alerts, 5)
    evidence = [service.client.get("/drift").json()["detectors"]["score_evidence"] for service in fleet.services]
    wait_until(
        lambda: prometheus.value(EVIDENCE) == pytest.approx(sum(replica["statistic"] for replica in evidence)), 5
    )

    # Now the window begins between the phases, and holds only corrupted images.
    time.sleep(max(0.0, begin + WINDOW_SECONDS + 1 - time.time()))
    end = fleet.last_evaluation(begin + WINDOW_SECONDS)
    assert end > begin - PAUSE_SECONDS + 1 + WINDOW_SECONDS
    expected = fleet.statistic(corrupted)
    assert prometheus.value(D, end) == pytest.approx(expected, abs=0.02)
    assert expected > fleet.statistic(clean) + 0.1
    flagged = np.mean(corrupted > fleet.bundle.threshold)
    assert prometheus.value(FLAGGED, end) == pytest.approx(flagged, abs=0.02)
    n, m = len(corrupted), len(fleet.bundle.reference.scores)
    p_value = np.log10(2) - 2 * np.log10(np.e) * expected**2 * n * m / (n + m)
    assert prometheus.value(LOG10_P_VALUE, end) == pytest.approx(p_value, rel=0.15)


def test_promtool_has_no_complaint_about_the_metrics(service: RunningService) -> None:
    service.score(instances(5, (4, 4, 3)))
    service.client.post("/score", content=b"{")
    done = promtool("check", "metrics", text=service.client.get("/metrics").text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
