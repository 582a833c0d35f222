"""Bundles of classifiers with named inputs: built from tables and named arrays, calibrated, evaluated, and run."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.column_values import ColumnValues
from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.calibration.bundle import Wanted, calibrate_bundle
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.evaluate import Options as Evaluation
from harmgauge_models.evaluation.evaluate import evaluate
from harmgauge_models.graphs import records
from harmgauge_models.graphs.run import predict
from harmgauge_models.options import Options
from tests.support.few_rows import few_copies, few_fitted, few_windows
from tests.support.named_classifiers import CITIES, MEASURED, measured_rows, mixed, save, token_rows, tokens


def silent(_: str) -> None:
    pass


def as_csv(path: Path, x: Array, y: Array) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*MEASURED, "wrong_way"])
        writer.writerows(zip(*(x[name][:, 0].tolist() for name in MEASURED), y, strict=True))
    return path


@pytest.fixture(scope="module", autouse=True)
def _few_rows() -> Iterator[None]:
    """P(wrong) has to be there, however little a head of a second sees."""
    with few_fitted(1600, adjusting=1600, keep_useless=True), few_windows():
        yield


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.mktemp("mixed")
    for name, rows, seed in (("train", 800, 1), ("calibration", 800, 2)):
        as_csv(folder / f"{name}.csv", *measured_rows(rows, seed))
    return Options(
        classifier=mixed(folder / "c.onnx", names=MEASURED),
        train=folder / "train.csv",
        calibration=folder / "calibration.csv",
        label="wrong_way",
        name="mixed",
        out=folder / "bundles",
        work=few_copies(folder / "work"),
        epochs=8,
        keep=True,
        int8=True,
        say=silent,
    )


@pytest.fixture(scope="module")
def bundle(options: Options) -> Bundle:
    return load(build(options))


def _run(bundle: Bundle, x: Array) -> Array:
    served = bundle.manifest.served
    assert isinstance(served, NamedInputs)
    rows = served.rows({name: x[name] for name in served.names})
    return OnnxRuntime(bundle, "cpu").run(rows).score


def test_the_manifest_describes_the_columns(bundle: Bundle) -> None:
    age, *_, city = bundle.manifest.inputs
    assert (age.name, age.dtype, age.shape, age.missing) == ("age", "float32", (1,), False)
    assert (city.name, city.dtype, city.categories) == ("city", "string", CITIES)
    assert bundle.manifest.made["second_network"]["rows"]["layout"] == "table"


def test_the_columns_have_sketches(bundle: Bundle) -> None:
    assert bundle.sketches is not None
    values = ColumnValues(RowColumns(bundle.manifest.served), bundle.sketches)
    assert values.names == (*MEASURED, "predicted class")
    assert values.kinds == (*["number"] * (len(MEASURED) - 1), "word", "prediction")
    assert bundle.sketches.words.tolist() == list(CITIES)


def test_the_service_computes_the_scores_of_the_offline_half(bundle: Bundle) -> None:
    x, _ = measured_rows(40, seed=3)
    np.testing.assert_allclose(_run(bundle, x), predict(bundle.graph, x, "rows", "score"), rtol=1e-4, atol=1e-6)


def test_disturbed_rows_score_higher(bundle: Bundle) -> None:
    x, _ = measured_rows(300, seed=4)
    wrong_units = records.changed(x, {name: x[name] * 1000 for name in MEASURED[:-1]})
    assert np.median(_run(bundle, wrong_units)) > np.quantile(_run(bundle, x), 0.8)


def test_the_graph_in_8_bits_takes_the_same_rows(bundle: Bundle) -> None:
    narrow = load(bundle.path, "int8")
    x, _ = measured_rows(200, seed=5)
    assert np.corrcoef(_run(bundle, x), _run(narrow, x))[0, 1] > 0.9


@pytest.fixture(scope="module")
def calibrated(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, calibrated again on 400 other rows."""
    folder = tmp_path_factory.mktemp("calibrated")
    rows = save(folder / "rows.npz", *measured_rows(400, seed=6))
    return calibrate_bundle(Wanted(bundle.path, rows, out=folder, say=silent))


def test_calibrate_fits_again_from_named_arrays(calibrated: Path) -> None:
    found = load(calibrated).error_probability
    assert found is not None
    assert found.rows == 400


@pytest.mark.usefixtures("figures_not_drawn")
def test_evaluate_judges_numbers_and_categories(calibrated: Path, tmp_path: Path) -> None:
    x, y = measured_rows(400, seed=7)
    folder = Path(shutil.copytree(calibrated, tmp_path / "mixed" / "2"))
    kinds = ("numbers_units", "unseen_category")
    quality = evaluate(
        Evaluation(
            folder,
            as_csv(tmp_path / "t.csv", x, y),
            tmp_path / "work",
            quick=True,
            kinds=kinds,
            label="wrong_way",
            say=silent,
        )
    )
    assert quality["layout"] == "table"
    assert quality["clean"]["accuracy"] > 0.6
    assert {
        entry["name"].rpartition("-")[0] for entry in quality["accuracy_estimate"]["sets"] if entry["group"] == "single"
    } == set(kinds)
    assert "mirrored" in quality["accuracy_estimate"]["stress"]


def test_token_ids_of_any_length(tmp_path: Path) -> None:
    path = tokens(tmp_path / "t.onnx")
    for name, rows, seed in (("train", 400, 1), ("calibration", 250, 2)):
        x = token_rows(rows, seed=seed)
        save(tmp_path / f"{name}.npz", x, predict(path, x, "rows").argmax(1))
    folder = build(
        Options(
            classifier=path,
            train=tmp_path / "train.npz",
            calibration=tmp_path / "calibration.npz",
            name="tokens",
            out=tmp_path,
            work=few_copies(tmp_path / "work"),
            epochs=1,
            keep=True,
            say=silent,
        )
    )
    bundle = load(folder)
    assert [taken.shape for taken in bundle.manifest.inputs] == [(None,), (None,)]
    assert bundle.manifest.made["second_network"]["rows"]["layout"] == "tokens"
    x = token_rows(50, width=20, seed=3)
    np.testing.assert_allclose(_run(bundle, x), predict(bundle.graph, x, "rows", "score"), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"second": "student"}, "a student reads one array"),
        ({"detector": "adversarial-autoencoder"}, "inputs by name: use --detector distillation"),
        ({"label": "income"}, "--label income"),
        ({"tokenizer": Path(__file__)}, "--tokenizer makes the inputs input_ids"),
    ],
)
def test_what_does_not_go_together_is_refused(options: Options, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(replace(options, **changes))
