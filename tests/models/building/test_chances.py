"""P(wrong) of a bundle made by `build`: in the graph, in the manifest and in 8 bits, or the reason for its absence."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from harmgauge.bundle.load import load
from harmgauge.bundle.manifest import Precision
from harmgauge.bundle.rows import Array
from harmgauge_models.building.build import build
from harmgauge_models.calibration.bundle import Wanted, calibrate_bundle
from harmgauge_models.calibration.estimate import ROWS_KAPPA
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.error_probability import OUTPUT
from harmgauge_models.graphs.run import predict
from harmgauge_models.options import Options
from harmgauge_models.training.distil_rows import RowDistillation
from tests.support.bundles import edit
from tests.support.few_rows import few_copies, few_fitted
from tests.support.toy import instances, linear_network

WIDTH, ROWS = 5, 400


@dataclass(frozen=True)
class Both:
    """A bundle in both precisions: what `build` said, and the disturbances that each of its networks was trained
    without.
    """

    folder: Path
    said: list[str]
    fits: list[object]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """A classifier of a table, right about nine rows in ten, and a head for it that trains quickly."""
    folder = tmp_path_factory.mktemp("table")
    classifier = linear_network(folder / "table.onnx", (WIDTH,), 3, 1, dtype="float32", scale=3)
    x = instances(ROWS, (WIDTH,), "float32")
    y = predict(classifier, x, "labels").argmax(1)
    y = np.where(np.random.default_rng(0).random(ROWS) < 0.1, (y + 1) % 3, y)
    np.savez(folder / "calibration.npz", x=x, y=y)
    np.savez(folder / "train.npz", x=instances(800, (WIDTH,), "float32", seed=5))
    return Options(
        classifier=classifier,
        train=folder / "train.npz",
        calibration=folder / "calibration.npz",
        name="table",
        out=folder / "bundles",
        work=few_copies(folder / "work"),
        epochs=4,
        window_rows=100,
        keep=True,
        say=lambda _: None,
    )


@pytest.fixture(scope="module", autouse=True)
def _few_copies() -> object:
    with few_fitted(6 * ROWS, adjusting=2 * ROWS, keep_useless=True):
        yield


def rows(options: Options) -> tuple[Array, Array]:
    with np.load(options.calibration) as arrays:
        return arrays["x"], arrays["y"]


@pytest.fixture(scope="module")
def both(trained: Options) -> Both:
    """A bundle in both precisions."""
    said: list[str] = []
    fits: list[object] = []
    fit = RowDistillation.fit

    def counted(self: RowDistillation, **options: object) -> object:
        fits.append(options.get("without"))
        return fit(self, **options)  # type: ignore[arg-type]  # passed on as given

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowDistillation, "fit", counted)
        folder = build(replace(trained, int8=True, say=said.append))
    return Both(folder, said, fits)


def test_a_head_brings_it_in_both_precisions(trained: Options, both: Both) -> None:
    said = both.said
    x, y = rows(trained)
    found = []
    precisions: list[Precision] = ["float32", "int8"]
    for precision in precisions:
        bundle = load(both.folder, precision)
        chance = bundle.error_probability
        assert chance is not None, bundle.no_error_probability
        assert (chance.rows, chance.copies, chance.target) == (ROWS, 6, "wrong")
        assert chance.slope < 0
        assert chance.kappa > 0
        p = predict(bundle.graph, x, "rows", OUTPUT).astype(np.float64)
        assert chance.base == pytest.approx(p.mean(), abs=1e-6)
        named = predict(bundle.graph, x * 40, "rows far away", "probabilities").argmax(1)
        assert (named == y).mean() > 0.8, "a linear classifier does not mind the scale"
        found.append(chance)
    assert found[0] != found[1]
    assert said[-3].startswith(f"estimate of accuracy: {1 - found[0].base:.1%} on clean rows")
    assert any(line.startswith("int8: estimate of accuracy") for line in said)


def test_the_networks_that_judge_are_trained_once(both: Both) -> None:
    """The score and P(wrong), in either precision, are judged by the same networks."""
    assert len(both.fits) == 4, "the network itself, and one for each third of the disturbances"


def test_without_labels_it_takes_the_stated_accuracy_or_says_both_remedies(trained: Options, tmp_path: Path) -> None:
    np.savez(tmp_path / "unlabelled.npz", x=rows(trained)[0])
    unlabelled = replace(trained, calibration=tmp_path / "unlabelled.npz")
    without = load(build(unlabelled))
    assert without.error_probability is None
    assert "save y beside x, or state the accuracy on such rows with --accuracy" in str(without.no_error_probability)
    assert OUTPUT not in [value.name for value in onnx.load_from_string(without.graph).graph.output]
    stated = load(build(replace(unlabelled, accuracy=0.9))).error_probability
    assert stated is not None
    assert stated.target == "changed"
    assert 0 < stated.base < 0.5


def test_labels_and_a_stated_accuracy_are_refused_before_the_training(trained: Options) -> None:
    with pytest.raises(UserError, match="these have y: leave it out"):
        build(replace(trained, accuracy=0.9))
    with pytest.raises(UserError, match="--accuracy 90"):
        build(replace(trained, accuracy=90))


def test_a_score_that_is_the_entropy_has_none(trained: Options) -> None:
    bundle = load(build(replace(trained, detector="entropy", train=None, work=None, epochs=None, keep=False)))
    assert "the score is the classifier's own entropy" in str(bundle.no_error_probability)


def test_a_bundle_from_before_gets_it_with_a_cautious_kappa(trained: Options, both: Both, tmp_path: Path) -> None:
    """Only `build`, while it trains, has networks that have not seen the disturbances and can judge them."""
    folder = Path(shutil.copytree(both.folder, tmp_path / "table" / "1"))
    without = tmp_path / "table" / "old"
    shutil.copytree(folder, without)
    edit(without, lambda manifest: manifest.update(version="old", error_probability="built before"))
    said: list[str] = []
    kept, made = (
        load(calibrate_bundle(Wanted(of, trained.calibration, say=said.append))).error_probability
        for of in (folder, without)
    )
    before = load(folder).error_probability
    assert kept is not None
    assert made is not None
    assert before is not None
    assert kept.kappa >= before.kappa
    assert made.kappa >= ROWS_KAPPA
    assert any("build measures it" in line for line in said) == (made.kappa == ROWS_KAPPA)
