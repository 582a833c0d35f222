"""`harmgauge calibrate` adds sketches of columns to a bundle that has none, or makes them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.load import COLUMNS_FILE, MANIFEST_FILE, load
from harmgauge.bundle.picture_measures import MEASURES, measures_of
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.bundle.samples import read_samples
from harmgauge.cli.main import main
from harmgauge_models.calibration.bundle import Wanted, calibrate_bundle
from harmgauge_models.calibration.sentences import columns_sentence
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict
from tests.conftest import ROOT
from tests.support.bundles import edit
from tests.support.toy import toy_bundle, toy_table_bundle

BUNDLES = ROOT / "models" / "bundles"
HEAD = BUNDLES / "cifar10-resnet32" / "2"
"""Bundles of schema 1, which have no columns."""

AUTOENCODER = BUNDLES / "cifar10-resnet32-ae" / "1"
ROWS = 120
"""Fewer than the accuracy estimate needs."""


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def pictures() -> Array:
    return read_samples(load(HEAD)).clean[:ROWS]


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, pictures: Array) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, x=pictures)
    return path


@pytest.mark.parametrize("old", [HEAD, AUTOENCODER], ids=["head", "autoencoder"])
def test_columns_are_added_and_every_other_file_is_the_same(
    old: Path, calibration: Path, pictures: Array, tmp_path: Path
) -> None:
    """Also for bundles that cannot have an accuracy estimate, and from rows without labels."""
    said: list[str] = []
    folder = calibrate_bundle(Wanted(old, calibration, only="columns", out=tmp_path, command="this", say=said.append))
    before, after = load(old), load(folder)
    assert after.manifest.columns == COLUMNS_FILE
    assert set(after.manifest.files) - set(before.manifest.files) == {COLUMNS_FILE}
    for name in before.manifest.files:
        assert (folder / name).read_bytes() == (old / name).read_bytes(), name
    different = {"columns", "made", "files", "version"}
    assert after.manifest.model_dump(exclude=different) == before.manifest.model_dump(exclude=different)
    made = after.manifest.made
    assert {name: value for name, value in made.items() if name != "columns"} == before.manifest.made
    assert (made["columns"]["command"], made["columns"]["bundle_sha256"]) == ("this", before.sha256)
    assert made["columns"]["calibration"]["rows"] == ROWS

    found = after.sketches
    assert found is not None
    assert RowColumns(after.manifest.served).names(found.positions.tolist()) == MEASURES
    assert said == ["columns: brightness, contrast, sharpness, noise, saturation and the predicted class"]
    assert after.manifest.input.image is not None
    measures = measures_of(pictures, after.manifest.input.image)
    np.testing.assert_array_equal(found.ranges, np.stack([measures.min(0), measures.max(0)], axis=1))
    predictions = predict(before.graph, pictures, "rows", "probabilities").argmax(1)
    codes = found.codes[:-1].astype(np.int64)
    np.testing.assert_array_equal(codes, np.unique(predictions))
    np.testing.assert_array_equal(found.flag_counts[:-1], np.bincount(predictions)[codes])


def test_from_the_same_rows_they_are_those_of_build(tmp_path: Path) -> None:
    old = toy_bundle(tmp_path)
    again = calibrate_bundle(Wanted(old, tmp_path / "calibration.npz", only="columns", say=silent))
    assert (again / COLUMNS_FILE).read_bytes() == (old / COLUMNS_FILE).read_bytes()


def test_from_a_new_normal_only_the_columns_differ(tmp_path: Path) -> None:
    old = toy_table_bundle(tmp_path, columns=3)
    bundle = load(old)
    with np.load(tmp_path / "calibration.npz") as rows:
        np.savez(tmp_path / "shifted.npz", x=rows["x"] + np.float32(10))
    shifted = load(calibrate_bundle(Wanted(old, tmp_path / "shifted.npz", only="columns", say=silent)))
    assert bundle.sketches is not None
    assert shifted.sketches is not None
    np.testing.assert_allclose(shifted.sketches.ranges, bundle.sketches.ranges + 10, atol=1e-5)
    assert shifted.graph == bundle.graph
    np.testing.assert_array_equal(shifted.reference.scores, bundle.reference.scores)


def test_by_default_columns_that_are_there_stay(tmp_path: Path, calibration: Path) -> None:
    bare = Path(shutil.copytree(HEAD, tmp_path / "bare"))
    assert Wanted(bare, calibration).parts(load(bare)) == ("error_probability", "columns")
    made = calibrate_bundle(Wanted(bare, calibration, only="columns", out=tmp_path, say=silent))
    assert Wanted(made, calibration).parts(load(made)) == ("error_probability",)
    edit(made, lambda manifest: manifest.pop("columns"))
    assert "columns" in Wanted(made, calibration).parts(load(made)), "a file that the manifest does not name is none"
    assert load(calibrate_bundle(Wanted(made, calibration, only="columns", say=silent))).sketches is not None


def test_what_columns_do_not_need_is_refused_first(tmp_path: Path, calibration: Path) -> None:
    with pytest.raises(UserError, match="--accuracy has no effect with --only columns: leave it out"):
        calibrate_bundle(Wanted(HEAD, tmp_path / "none.npz", only="columns", accuracy=0.9, out=tmp_path))
    few = tmp_path / "few.npz"
    with np.load(calibration) as rows:
        np.savez(few, x=rows["x"][:99])
    with pytest.raises(UserError, match="holds 99 calibration rows; expected at least 100"):
        calibrate_bundle(Wanted(HEAD, few, only="columns", out=tmp_path))
    with pytest.raises(UserError, match="holds 120 calibration rows; expected at least 200"):
        calibrate_bundle(Wanted(HEAD, calibration, only="error_probability", out=tmp_path))


def test_the_command_names_the_route(tmp_path: Path, calibration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["calibrate", str(AUTOENCODER), "--calibration", str(calibration), "--out", str(tmp_path)]
    assert main([*words, "--only", "columns"]) == 0
    said = capsys.readouterr().out
    folder = tmp_path / "cifar10-resnet32-ae" / "1"
    assert f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve; GET /drift/columns lists the columns" in said
    made = json.loads((folder / MANIFEST_FILE).read_text())["made"]["columns"]
    assert made["command"].endswith("--only columns")
    assert main([*words, "--only", "error_probability"]) == 2
    assert "an adversarial autoencoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "columns: the predicted class"),
        (("age",), "columns: age and the predicted class"),
        (tuple("abcdefg"), "columns: a, b, c, d, e, 2 more and the predicted class"),
    ],
)
def test_many_columns_are_counted(names: tuple[str, ...], sentence: str) -> None:
    assert columns_sentence(names) == sentence
