"""The page's state agrees with `GET /drift` about detectors and accuracy."""

from __future__ import annotations

from functools import partial

import numpy as np
import orjson
import pytest

from harmgauge.api.state import drift_answer
from harmgauge.bundle.load import Bundle
from harmgauge.drift import accuracy_window
from harmgauge.drift.from_bundle import build_drift_detectors
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.state import Blocks
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.observe.metrics import Metrics
from harmgauge.page.overview import Overview
from harmgauge.page.recorder import Recorder
from harmgauge.readiness import Readiness
from harmgauge.settings import load

pytestmark = pytest.mark.anyio


def parts(bundle: Bundle) -> tuple[Monitor, Recorder, Overview]:
    settings = load({"HARMGAUGE_FEATURE_MMD": "false"})
    monitor = Monitor(build_drift_detectors(bundle, settings), accuracy=accuracy_window.from_bundle(bundle, settings))
    metrics = BundleMetrics(bundle, Metrics(bundle.manifest, Readiness()), monitor.gauges, lambda: 0)
    recorder = Recorder(monitor, partial(metrics.totals, frozenset()), float(bundle.threshold))
    return monitor, recorder, Overview(bundle, monitor, recorder, None, corrects=False)


async def test_it_has_what_drift_has(chances_bundle: Bundle) -> None:
    monitor, recorder, overview = parts(chances_bundle)
    random = np.random.default_rng(0)
    monitor.observe(
        Blocks(
            scores=random.random(150),
            rows=np.ones(150, np.intp),
            clients=(None,) * 150,
            error_probability=(random.random(150) / 5).astype(np.float32),
            predictions=random.integers(0, 3, 150),
        )
    )
    await recorder.sample()
    found = orjson.loads(orjson.dumps(await overview.state(), option=orjson.OPT_SERIALIZE_NUMPY))
    answer = drift_answer(chances_bundle, await monitor.states(), await monitor.accuracy())
    expected = orjson.loads(answer.model_dump_json(by_alias=True))
    for name in ("detectors", "accuracy", "accuracy_missing"):
        assert found[name] == expected[name]
    assert "harm" in found["detectors"]
    assert found["accuracy_missing"] is None
    assert [each["class"] for each in found["accuracy"]["classes"]] == list(chances_bundle.manifest.class_names)
    assert found["recent"]["accuracy.estimate"] == [pytest.approx(found["accuracy"]["estimate"], abs=1e-6)]


async def test_of_a_bundle_without_an_estimate_it_has_the_reason(image_bundle: Bundle) -> None:
    _, _, overview = parts(image_bundle)
    found = await overview.state()
    assert found["accuracy"] is None
    assert found["accuracy_missing"] == image_bundle.no_error_probability
    assert found["accuracy_missing"]
