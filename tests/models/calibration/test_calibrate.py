"""P(wrong) on data with a known truth: the fit recovers it, kappa measures what is missed, and useless estimates are
rejected.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.rows import Array
from harmgauge_models.calibration import calibrate as module
from harmgauge_models.calibration.calibrate import calibrate
from harmgauge_models.calibration.known import Known, check_accuracy
from harmgauge_models.calibration.logistic import Line
from harmgauge_models.calibration.observed import Observed, Observer
from harmgauge_models.detectors.base import Folds
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.error_probability import OUTPUT, give
from harmgauge_models.graphs.run import predict
from tests.support.known_risk import CLASSES, Risks, clean, graph

X, Y = clean(1500)
GRAPH = graph()
HONEST = Risks(a="all", b="all", c="all")


@cache
def honest() -> ErrorProbability:
    return gauge(calibrate(GRAPH, HONEST, Known(X, Y), seed=0, what="toy"))


def gauge(found: ErrorProbability | str) -> ErrorProbability:
    assert isinstance(found, ErrorProbability), found
    return found


def test_a_second_network_that_is_calibrated_is_taken_at_its_word() -> None:
    found = honest()
    risk = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.6])
    p = Line(found.slope, found.intercept)(np.log((1 - risk) / risk))
    np.testing.assert_allclose(p, risk, atol=0.02)
    assert (found.rows, found.copies, found.target) == (1500, 14, "wrong")
    assert found.kappa < 0.06
    wrong = float((X[:, :CLASSES].argmax(1) != Y).mean())
    assert found.base == pytest.approx(wrong, abs=0.02)


def test_base_and_its_bound_are_those_of_the_graphs_own_output() -> None:
    found = honest()
    p = predict(give(GRAPH, found.slope, found.intercept), X, "rows", OUTPUT).astype(np.float64)
    assert found.base == pytest.approx(p.mean(), abs=1e-6)
    assert found.base_upper == pytest.approx(p.mean() + 2.33 * p.std() / np.sqrt(len(p)), abs=1e-6)


def test_the_same_seed_gives_the_same() -> None:
    some = Known(X[:300], Y[:300])
    first, again, other = (calibrate(GRAPH, HONEST, some, seed=seed, what="toy") for seed in (3, 3, 4))
    assert first == again != other


def test_what_the_second_network_half_sees_is_half_missed() -> None:
    """It sees two of three kinds fully; the third is judged by the fit to the others."""
    found = gauge(calibrate(GRAPH, Risks(a="all", b="all", c="half"), Known(X, Y), seed=0, what="toy"))
    assert 0.2 < found.kappa < 0.4, "sqrt(1/3) of a half is .29"


def test_a_second_network_that_sees_no_disturbance_is_refused() -> None:
    found = calibrate(GRAPH, Risks(a="none", b="none"), Known(X, Y), seed=0, what="toy")
    assert isinstance(found, str)
    assert "hardly better than always reporting the usual accuracy" in found


def test_networks_that_have_not_seen_a_disturbance_judge_it() -> None:
    """The graph's own network sees all; one that was trained without c does not see it and reports the clean risk."""

    def log_q(x: Array) -> Any:
        usual = np.full((len(x), CLASSES), np.log(0.05))
        usual[np.arange(len(x)), x[:, :CLASSES].argmax(1)] = np.log(0.9)
        seen = x[:, CLASSES : 2 * CLASSES] - np.logaddexp.reduce(x[:, CLASSES : 2 * CLASSES], axis=1, keepdims=True)
        return np.where(blind[0], usual, seen).astype(np.float32)

    blind = [False]
    folds = Folds([("c",)], lambda x: [log_q(x)])
    seeing = gauge(calibrate(GRAPH, HONEST, Known(X, Y), folds, seed=0, what="toy"))
    assert seeing.kappa < 0.1
    blind[0] = True
    assert isinstance(calibrate(GRAPH, HONEST, Known(X, Y), folds, seed=0, what="toy"), str)


def test_several_networks_that_have_not_seen_a_disturbance_share_the_graphs_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is judged as if it were alone: three equal ones give the kappa of one."""
    rows = [0]
    run = Observer.__call__

    def counted(self: Observer, x: Array) -> Observed:
        rows[0] += len(x)
        return run(self, x)

    monkeypatch.setattr(Observer, "__call__", counted)
    seen = []
    for count in (1, 3):
        rows[0] = 0
        folds = Folds([("c",)] * count, lambda x, count=count: [x[:, CLASSES : 2 * CLASSES]] * count)  # type: ignore[misc]  # a lambda's default has no type
        seen.append((gauge(calibrate(GRAPH, HONEST, Known(X, Y), folds, seed=0, what="toy")).kappa, rows[0]))
    assert seen[0] == pytest.approx(seen[1])


def test_without_labels_the_stated_accuracy_takes_their_place() -> None:
    accuracy = float((X[:, :CLASSES].argmax(1) == Y).mean())
    found = gauge(calibrate(GRAPH, HONEST, Known(X, None, accuracy), seed=0, what="toy"))
    assert found.target == "changed"
    assert found.base == pytest.approx(1 - accuracy, abs=0.03)
    assert found.slope == pytest.approx(honest().slope, abs=0.2)


def test_without_labels_and_accuracy_both_remedies_are_named() -> None:
    found = calibrate(GRAPH, HONEST, Known(X, None), seed=0, what="toy")
    assert isinstance(found, str)
    assert "save y beside x" in found
    assert "--accuracy" in found


def test_few_rows_and_few_errors_are_refused() -> None:
    assert "expected at least 200 calibration rows (5000 are good), got 150" in str(
        calibrate(GRAPH, HONEST, Known(X[:150], Y[:150]), seed=0, what="toy")
    )
    right = X.copy()
    right[:, -1] = right[:, :CLASSES].argmax(1)

    class Nothing(Risks):
        def _changed(self, x: Array, *_: Any) -> Array:
            return x

    found = calibrate(GRAPH, Nothing(a="all"), Known(right, right[:, -1].astype(np.int64)), seed=0, what="toy")
    assert "gets 0 of" in str(found)
    assert "disturbance costs" in str(calibrate(GRAPH, Nothing(a="all"), Known(X, Y), seed=0, what="toy"))


def test_rows_without_numbers_are_left_out() -> None:
    spoilt = X.copy()
    spoilt[:100, :CLASSES] = np.nan
    found = gauge(calibrate(GRAPH, HONEST, Known(spoilt, Y), seed=0, what="toy"))
    assert found.base == pytest.approx(honest().base, abs=0.02)


def test_a_slow_classifier_gets_fewer_copies_and_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Observer, "seconds_per_row", lambda *_: module.SECONDS / 4000)
    assert gauge(calibrate(GRAPH, HONEST, Known(X, Y), seed=0, what="toy")).copies == 2
    monkeypatch.setattr(Observer, "seconds_per_row", lambda *_: module.SECONDS / 700)
    few = gauge(calibrate(GRAPH, HONEST, Known(X, Y), seed=0, what="toy"))
    assert (few.rows, few.copies) == (700, 1)


@pytest.mark.parametrize("accuracy", [0.0, -0.1, 1.01, 93.0, float("nan")])
def test_an_accuracy_that_is_none_is_refused(accuracy: float) -> None:
    with pytest.raises(UserError, match="expected a share above 0 and at most 1, such as 0.93"):
        check_accuracy(accuracy)


def test_labels_and_a_stated_accuracy_are_one_too_many() -> None:
    check_accuracy(0.9, None)
    check_accuracy(None, Y)
    with pytest.raises(UserError, match="--accuracy is for calibration rows without labels.*leave it out"):
        check_accuracy(0.9, Y)
