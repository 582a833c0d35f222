"""Tracing switched on and off: its settings, an unreachable collector, and the last traces of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.otlp import SERVER, receiving
from tests.support.process import environment
from tests.support.traced import SOON, score, traced_service


def test_the_ratio_is_opentelemetrys_own(image_bundle_path: Path) -> None:
    with receiving() as receiver:
        variables = SOON | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.1",
        }
        with traced_service(image_bundle_path, variables) as service:
            for _ in range(300):
                score(service)
            service.terminate()
            assert service.wait() == 0
        sampled = [span for span in receiver.spans if span.kind == SERVER]
        assert 5 <= len(sampled) <= 80, "a binomial of 300 and 0.1 leaves this once in a million times"


def test_sigterm_sends_what_still_waits(image_bundle_path: Path) -> None:
    with receiving() as receiver:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with traced_service(image_bundle_path, variables) as service:
            for _ in range(10):
                score(service)
            assert not receiver.spans
            service.terminate()
            assert service.wait() == 0
        assert sum(span.kind == SERVER for span in receiver.spans) == 10
        assert len(receiver.spans) == 30


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_collector_that_is_down_costs_no_request_and_little_log(image_bundle_path: Path, how: str) -> None:
    with receiving() as receiver:
        receiver.answers.clear()
        endpoint = receiver.url if how == "hangs" else "http://127.0.0.1:9"
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50",
        }
        with traced_service(image_bundle_path, variables, drain_seconds=2) as service:
            for _ in range(200):
                assert score(service).status_code == 200
            begin = time.monotonic()
            service.terminate()
            assert service.wait() == 0
            assert time.monotonic() - begin < 10
            told = [line for line in service.log if "opentelemetry" in line]
            assert len(told) <= 2 * 3 * 2, "at most 2 a minute, of each logger and level"
            assert not any(line.startswith(("Traceback", "  File")) for line in service.log)


@pytest.mark.parametrize("command", ["serve", "check"])
def test_without_the_extra_the_remedy_is_told(image_bundle_path: Path, tmp_path: Path, command: str) -> None:
    # FastAPI brings OpenTelemetry's API, the extra its SDK and the exporter.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    done = subprocess.run(
        [sys.executable, "-m", "harmgauge", command],
        env=environment(bundle=image_bundle_path, tracing="true")
        | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'harmgauge[tracing]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_off_loads_nothing_of_it() -> None:
    code = "import sys, harmgauge.server.process; print([name for name in sys.modules if 'opentelemetry.sdk' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
