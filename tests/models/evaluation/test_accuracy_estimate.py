"""The estimate of accuracy and the alarm on harm in `quality.json`, in the report and in the command's last lines."""

from __future__ import annotations

import dataclasses
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from harmgauge.bundle.load import load
from harmgauge_models.data.corruptions import corrupt
from harmgauge_models.evaluation.accuracy import texts
from harmgauge_models.evaluation.accuracy.baselines import METHODS
from harmgauge_models.evaluation.accuracy.judge import halves
from harmgauge_models.evaluation.evaluate import NUMBERS_FILE, PAGE_FILE, Options, evaluate
from harmgauge_models.evaluation.plan import QUICK
from tests.models.evaluation.conftest import SHAPE
from tests.support.toy import toy_bundle


@pytest.fixture(scope="module")
def quality(evaluated: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((evaluated / NUMBERS_FILE).read_text())
    return found


@pytest.fixture
def estimate(quality: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = quality["accuracy_estimate"]
    return found


def by_graph(bundle: Path, x: Any) -> tuple[Any, Any]:
    """P(wrong) and predictions by the graph alone."""
    session = ort.InferenceSession(str(bundle / "detector.onnx"), providers=["CPUExecutionProvider"])
    chances, probabilities = session.run(["error_probability", "probabilities"], {"input": x})
    return chances, probabilities.argmax(1)


def test_halves_are_at_random_and_the_same_for_a_seed() -> None:
    folds = halves(601, 0)
    assert np.bincount(folds).tolist() == [301, 300]
    np.testing.assert_array_equal(halves(601, 0), folds)
    assert (halves(601, 1) != folds).any()


@pytest.mark.parametrize("severity", QUICK.severities)
def test_a_corrupted_set_is_that_of_the_graph_by_hand(
    original: Path, data: Path, estimate: dict[str, Any], severity: int
) -> None:
    with np.load(data) as arrays:
        x, y = arrays["x"], arrays["y"]
    chances, predictions = by_graph(original, corrupt("motion_blur", x, severity, 0))
    (found,) = (one for one in estimate["sets"] if one["name"] == f"motion_blur-{severity}")
    assert found["rows"] == len(y)
    assert found["accuracy"] == pytest.approx((predictions == y).mean(), abs=1e-5)
    assert found["error_probability"] == pytest.approx(1 - chances.mean(), abs=1e-5)


def test_it_has_its_structure_and_errors_are_those_of_the_sets(estimate: dict[str, Any]) -> None:
    assert set(estimate) == {"fitted", "sets", "errors", "coverage", "alarm", "stress"}
    assert set(estimate["errors"]) == {"clean", "single", "diluted", "two_kinds", "label_shift"}
    for group, errors in estimate["errors"].items():
        own = [one for one in estimate["sets"] if one["group"] == group]
        assert errors["sets"] == len(own)
        for method in METHODS:
            gaps = [abs(one[method] - one["accuracy"]) for one in own]
            assert errors[method] == pytest.approx({"mean": np.mean(gaps), "max": max(gaps)}, abs=3e-5)
    assert estimate["errors"]["single"]["sets"] == len(QUICK.kinds) * len(QUICK.severities)
    assert set(estimate["coverage"]) == {"200"}, "600 rows are judged"
    assert estimate["alarm"]["sets"][0]["name"] == "all"


def test_it_names_what_was_fitted_on_which_rows(original: Path, estimate: dict[str, Any]) -> None:
    chance = load(original).error_probability
    assert chance is not None
    assert estimate["fitted"] == chance.model_dump() | {"judged_rows": 600}
    assert estimate["alarm"]["accuracy_drop"] == pytest.approx(max(0.02, chance.base_upper - chance.base), abs=1e-5)


def test_rows_unlike_every_disturbance_are_listed(original: Path, data: Path, estimate: dict[str, Any]) -> None:
    with np.load(data) as arrays:
        x, y = arrays["x"], arrays["y"]
    chances, predictions = by_graph(original, 255 - x)
    found = estimate["stress"]["inverted"]
    assert found["accuracy"] == pytest.approx((predictions == y).mean(), abs=1e-5)
    assert found["estimate"] == pytest.approx(1 - chances.mean(), abs=1e-5)
    assert estimate["stress"]["noise"]["accuracy"] is None, "no answer to noise is right"


def test_the_attacks_have_their_estimate(quality: dict[str, Any]) -> None:
    for attack in quality["attacks"]["by"].values():
        assert 0 < attack["rounded"]["estimate"] < 1


def test_the_page_shows_it_first_with_what_it_does_not_see(evaluated: Path, quality: dict[str, Any]) -> None:
    text = (evaluated / PAGE_FILE).read_text()
    assert text.index("The estimate of accuracy") < text.index("The alarm on harm") < text.index("Scores by severity")
    assert escape(texts.fitted(quality)) in text
    assert "The estimate has limits" in text
    single = quality["accuracy_estimate"]["errors"]["single"]["error_probability"]
    assert f"<td>{single['mean']:.4f}, {single['max']:.3f}</td>" in text
    assert "There is no estimate of accuracy" not in text


def test_the_closing_lines_have_its_figures(quality: dict[str, Any]) -> None:
    lines = texts.lines(quality)
    single = quality["accuracy_estimate"]["errors"]["single"]["error_probability"]
    assert f"error {single['mean']:.3f} on average" in lines[0]
    assert "the estimate is too high far from every disturbance: turned 90 " in lines[-2]
    assert lines[-1] == texts.fitted(quality)
    assert "among 600 calibration rows and 3 disturbed copies" in lines[-1]


def test_the_manifest_says_how_far_off_the_estimate_is(evaluated: Path, quality: dict[str, Any]) -> None:
    headlines = load(evaluated).manifest.quality["evaluation"]["accuracy_estimate"]
    errors = quality["accuracy_estimate"]["errors"]["single"]
    assert headlines["single"] == {"sets": errors["sets"], **errors["error_probability"]}


@pytest.mark.usefixtures("figures_not_drawn")
def test_a_bundle_without_error_probability_says_why_and_lacks_nothing_else(
    data: Path, work: Path, tmp_path: Path
) -> None:
    bundle = toy_bundle(tmp_path, shape=SHAPE)
    reason = load(bundle).no_error_probability
    assert reason
    options = Options(bundle, data, work, quick=True, attacks=(), say=lambda _: None)
    quality = evaluate(dataclasses.replace(options, kinds=("brightness",)))
    assert quality["accuracy_estimate"] == {"missing": reason}
    assert list(quality["delays"]["detectors"]) == ["score_evidence", "score_ks", "feature_mmd"]
    assert f"There is no estimate of accuracy: {escape(reason)}" in (bundle / PAGE_FILE).read_text()
    assert texts.lines(quality) == [f"no estimate of accuracy: {reason}"]
    assert "accuracy_estimate" not in load(bundle).manifest.quality["evaluation"]
