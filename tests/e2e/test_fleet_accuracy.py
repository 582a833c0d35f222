"""The accuracy of a fleet and its alarm on harm under the real Prometheus: three processes, real images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import read_samples
from harmgauge.drift import harm_evidence
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import RAW, RunningService, running_service, wait_until
from tests.support.prometheus import RULES, RunningPrometheus, binary, running_prometheus, shortened

REPLICAS = 3
ASKED = 10_000
"""Rows between false alarms: the images in the bundle give enough evidence for this."""

EVIDENCE = "fleet:harmgauge_harm:evidence"
WEALTH = "fleet_stake:harmgauge_harm:wealth"
ACCURACY = "1 - sum(harmgauge_expected_errors_total) / sum(harmgauge_expected_errors_rows_total)"
VARIANCE = "sum(harmgauge_expected_errors_variance_total)"
LOG = "sum by (stake) (harmgauge_harm_log_gain_total) - sum by (stake) (harmgauge_harm_log_loss_total)"
COUNTED = "sum(instance:harmgauge_expected_errors_rows:counted)"


@dataclass
class Fleet:
    services: list[RunningService]
    bundle: Bundle
    key: str
    chances: list[float] = field(default_factory=list)
    """The error probability of each row, as returned to the clients."""

    def score(self, prometheus: RunningPrometheus, rows: Rows) -> None:
        """Send the rows one by one, to each replica its share; returns once the rules have counted all of them."""

        def send(replica: int) -> list[float]:
            client, found = self.services[replica].client, []
            for row in rows[replica::REPLICAS]:
                answer = client.post("/score?error_probability=true", content=row[None].tobytes(), headers=RAW)
                assert answer.status_code == 200, answer.text
                found += answer.json()["error_probability"]
            return found

        with ThreadPoolExecutor(REPLICAS) as threads:
            for found in threads.map(send, range(REPLICAS)):
                self.chances += found
        wait_until(lambda: prometheus.value(COUNTED) == len(self.chances), 30)

    def check_window(self, prometheus: RunningPrometheus) -> None:
        """Check that the rules' estimate and interval, whose window holds all rows, become those of all rows."""
        of_window = 'fleet_window:harmgauge_accuracy:{}{{window="10m"}}'
        chances, found = np.array(self.chances), self.bundle.error_probability
        assert found is not None
        accuracy = 1 - chances.mean()
        variance = (chances * (1 - chances)).sum() / len(chances) ** 2
        error = np.sqrt(variance + (1.25 * found.kappa * (1 - found.base - accuracy)) ** 2 + 0.006**2)
        expected = {"estimate": accuracy, "lower": accuracy - 1.645 * error, "upper": accuracy + 1.645 * error}
        for name, value in expected.items():
            wait_until(lambda name=name, value=value: within(prometheus.value(of_window.format(name)), value), 10)

    def acknowledge(self, replica: int) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        assert self.services[replica].client.post("/admin/drift/reset", headers=headers).status_code == 200


def within(found: float | None, expected: float) -> bool:
    """Whether it is as expected, apart from the extrapolation of `increase` at the ends of a window."""
    return found == pytest.approx(expected, abs=0.005)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    binary("prometheus")
    bundle = load(SHIPPED_BUNDLE)
    key, line = new_key("operator")
    settings: dict[str, Any] = {"workers": 1, "rows_between_false_alarms": ASKED, "admin_keys": line}
    with ExitStack() as stack:
        services = [stack.enter_context(running_service(SHIPPED_BUNDLE, **settings)) for _ in range(REPLICAS)]
        yield Fleet(services, bundle, key)


def firing(prometheus: RunningPrometheus) -> set[str]:
    return {sample["metric"]["alertname"] for sample in prometheus.query('ALERTS{alertstate="firing"}')}


def by_stake(prometheus: RunningPrometheus, expression: str) -> dict[str, float]:
    return {sample["metric"]["stake"]: sample["value"] for sample in prometheus.query(expression)}


def test_the_fleet_knows_its_accuracy_and_finds_harm_and_nothing_before_it(fleet: Fleet, tmp_path: Path) -> None:
    samples, found = read_samples(fleet.bundle), fleet.bundle.error_probability
    assert found is not None
    ports, rules = [service.port for service in fleet.services], shortened(RULES, "10m")

    with running_prometheus(tmp_path, rules, ports) as prometheus:
        wait_until(lambda: prometheus.value(f"count({COUNTED.removeprefix('sum')} == 0)") == REPLICAS, 30)
        fleet.score(prometheus, samples.clean)
        chances = np.array(fleet.chances)
        assert prometheus.value(ACCURACY) == pytest.approx(1 - chances.mean(), abs=1e-9)
        assert prometheus.value(VARIANCE) == pytest.approx((chances * (1 - chances)).sum(), rel=1e-9)
        # The basis of the alarm: the same bets as one process would have made on all rows.
        bound = max(found.base + 0.02, found.base_upper)
        logs = np.log(harm_evidence.factors(chances, bound)).sum(0)
        expected = {f"{stake:g}": log for stake, log in zip(harm_evidence.STAKES.tolist(), logs.tolist(), strict=True)}
        assert by_stake(prometheus, LOG) == pytest.approx(expected, abs=1e-9)
        fleet.check_window(prometheus)
        assert firing(prometheus) == set()
        clean = by_stake(prometheus, WEALTH)
        assert len(clean) == 6
        assert all(clean.values())
        evidence = prometheus.value(EVIDENCE)
        assert evidence is not None
        assert evidence == pytest.approx(np.mean(list(clean.values())))
        assert evidence < ASKED

    # Prometheus is killed and started again on the same data: the evidence continues unchanged, to the last bit.
    with running_prometheus(tmp_path, rules, ports) as prometheus:
        begin = time.time()
        wait_until(lambda: len(prometheus.query(f"timestamp({WEALTH}) > {begin}")) == 6, 30)
        assert by_stake(prometheus, WEALTH) == clean

        fleet.score(prometheus, samples.corrupted)
        wait_until(lambda: "HarmgaugeHarm" in firing(prometheus), 5)
        assert (prometheus.value(EVIDENCE) or 0) >= ASKED
        chances = np.array(fleet.chances)
        assert prometheus.value(ACCURACY) == pytest.approx(1 - chances.mean(), abs=1e-9)
        fleet.check_window(prometheus)
        (alert,) = [
            alert
            for alert in prometheus.client.get("/api/v1/alerts").json()["data"]["alerts"]
            if alert["labels"]["alertname"] == "HarmgaugeHarm"
        ]
        assert alert["annotations"]["description"].endswith(f"it was {(1 - found.base) * 100:.4g}%.")

        fleet.acknowledge(1)
        wait_until(lambda: prometheus.value(EVIDENCE) == 0, 10)
