"""`harmgauge calibrate` adds P(wrong) to the next version of a bundle with everything else unchanged, and checks its
inputs first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.load import (
    COLUMNS_FILE,
    DETECTOR_FILE,
    DETECTOR_INT8_FILE,
    MANIFEST_FILE,
    REFERENCE_INT8_FILE,
    load,
)
from harmgauge.bundle.rows import Array
from harmgauge.bundle.samples import read_samples
from harmgauge.bundle.signature import SIGNATURE_BYTES, SIGNATURE_FILE
from harmgauge_models.calibration.bundle import Wanted, calibrate_bundle
from harmgauge_models.calibration.calibrate import SURE
from harmgauge_models.calibration.known import MIN_ROWS
from harmgauge_models.calibration.rows import read_rows
from harmgauge_models.data import labels, npz_rows
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.error_probability import OUTPUT
from harmgauge_models.graphs.run import predict, predict_all
from tests.conftest import ROOT
from tests.support.bundles import edit
from tests.support.few_rows import few_fitted

OLD = ROOT / "models" / "bundles" / "cifar10-resnet32" / "2"
"""A bundle of schema 1, with a head, in float32 and in 8 bits."""

ROWS = 200


@pytest.fixture(scope="module")
def given() -> tuple[Array, Array]:
    """Real pictures with labels: the bundle's own samples, on which no network was trained."""
    samples = read_samples(load(OLD))
    assert samples.y is not None
    some = slice(100, 100 + ROWS)
    return samples.clean[some], samples.y[some]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, given: tuple[Array, Array]) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, x=given[0], y=given[1])
    return path


@pytest.fixture(scope="module", autouse=True)
def _few_copies() -> Any:
    """Few copies, which suffice to see that it works."""
    with few_fitted(2 * ROWS, adjusting=ROWS, single=20, strengths=(1.0,)):
        yield


@pytest.fixture(scope="module")
def said() -> list[str]:
    """The lines of the calibration of `made`."""
    return []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, labelled: Path, said: list[str]) -> Path:
    """The old bundle calibrated in both precisions: the other tests calibrate float32 alone."""
    out = tmp_path_factory.mktemp("bundles")
    shutil.copytree(OLD, out / "cifar10-resnet32" / "2")
    return calibrate_bundle(Wanted(out / "cifar10-resnet32" / "2", labelled, command="this", say=said.append))


def without_int8(bundle: Path, folder: Path) -> Path:
    """A copy of the bundle in `folder` without its graph in 8 bits."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    for name in (DETECTOR_INT8_FILE, REFERENCE_INT8_FILE):
        del manifest["files"][name]
        (folder / name).unlink()
    del manifest["int8"]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


def test_it_is_the_next_version_beside_the_old_one_in_the_newest_schema(made: Path) -> None:
    assert made.name == "3"
    assert sorted(path.name for path in made.parent.iterdir()) == ["2", "3"]
    assert json.loads((made / MANIFEST_FILE).read_text())["schema_version"] == 2
    assert (made.parent / "2" / MANIFEST_FILE).read_bytes() == (OLD / MANIFEST_FILE).read_bytes()


def test_everything_else_is_carried_over_byte_for_byte(made: Path) -> None:
    old, new = load(OLD).manifest, load(made).manifest
    assert set(new.files) - set(old.files) == {COLUMNS_FILE}, "which the old bundle lacks"
    changed = {DETECTOR_FILE, DETECTOR_INT8_FILE}
    for name in set(old.files) - changed:
        assert (made / name).read_bytes() == (OLD / name).read_bytes(), name
    different = {"error_probability", "int8", "columns", "made", "files", "version"}
    assert new.model_dump(exclude=different) == old.model_dump(exclude=different)
    assert new.int8 is not None
    assert old.int8 is not None
    assert new.int8.model_dump(exclude={"error_probability"}) == old.int8.model_dump(exclude={"error_probability"})
    record = new.made["error_probability"]
    added = dict.fromkeys(("error_probability", "columns"))
    assert {**new.made, **added} == {**old.made, **added}
    assert new.made["columns"] | {"stated_accuracy": None} == record
    assert record["command"] == "this"
    assert record["calibration"]["rows"] == ROWS
    assert record["bundle_sha256"] == load(OLD).sha256


def test_each_precision_has_a_fit_of_its_own_that_its_graph_computes(
    made: Path, given: tuple[Array, Array], said: list[str]
) -> None:
    x, y = given
    found = []
    for precision in ("float32", "int8"):
        old, new = load(OLD, precision), load(made, precision)
        chance = new.error_probability
        assert chance is not None
        assert (chance.rows, chance.copies, chance.target) == (ROWS, 2, "wrong")
        p = predict(new.graph, x, "rows", OUTPUT).astype(np.float64)
        assert chance.base == pytest.approx(p.mean(), abs=1e-6)
        assert chance.base_upper == pytest.approx(p.mean() + SURE * p.std() / np.sqrt(ROWS), abs=1e-6)
        outputs = ("score", "probabilities", "features")
        before, after = predict_all(old.graph, x, "rows", outputs), predict_all(new.graph, x, "rows", outputs)
        for name in outputs:
            np.testing.assert_array_equal(before[name], after[name])
        wrong = after["probabilities"].argmax(1) != y
        assert p[wrong].mean() > 2 * p[~wrong].mean()
        found.append(chance)
    assert found[0] != found[1]
    assert [line.split(":")[0] for line in said] == ["float32", "int8", "columns"]


def test_it_tells_disturbed_pictures_from_clean_ones(made: Path) -> None:
    """The accuracy of the bundle's own corrupted samples, estimated without their labels."""
    samples = read_samples(load(OLD))
    p = predict_all(load(made).graph, samples.corrupted, "rows", ("probabilities", OUTPUT))
    wrong = float((p["probabilities"].argmax(1) != samples.y).mean())
    assert wrong > 0.3
    assert float(p[OUTPUT].mean()) == pytest.approx(wrong, abs=0.08)


def test_calibrated_again_it_is_the_next_version_and_keeps_the_larger_kappa(made: Path, labelled: Path) -> None:
    copied = without_int8(made, made.parent / "2026.1")
    edit(copied, lambda m: m["error_probability"].update(kappa=0.77))
    said: list[str] = []
    again = calibrate_bundle(Wanted(copied, labelled, version="again", seed=5, say=said.append))
    chance = load(again).error_probability
    assert chance is not None
    assert chance.kappa == 0.77, "measured by networks that had not seen the disturbances, for all it knows"
    assert len(said) == 1
    assert said[0].startswith("float32: ")
    assert "its typical error is 77% of a drop" in said[0]


def test_without_labels_it_takes_the_accuracy(
    tmp_path: Path, given: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmgauge_models.calibration.calibrate.DISTURBED_ROWS", ROWS)
    np.savez(tmp_path / "rows.npz", x=given[0])
    wanted = Wanted(
        without_int8(OLD, tmp_path / "old"), tmp_path / "rows.npz", accuracy=0.92, out=tmp_path, say=lambda _: None
    )
    chance = load(calibrate_bundle(wanted)).error_probability
    assert isinstance(chance, ErrorProbability)
    assert chance.target == "changed"
    assert chance.base == pytest.approx(0.08, abs=0.03)
    with pytest.raises(UserError, match="save y beside x, or state the accuracy on such rows with --accuracy"):
        calibrate_bundle(replace(wanted, accuracy=None))


def test_rows_may_have_names_of_classes(tmp_path: Path, given: tuple[Array, Array]) -> None:
    names = np.array(load(OLD).manifest.class_names)
    np.savez(tmp_path / "rows.npz", x=given[0], y=names[given[1]])
    bundle = load(OLD)
    rows = read_rows(tmp_path / "rows.npz", bundle, None, None, MIN_ROWS)
    rows = labels.numbered(rows, bundle.manifest.class_names, len(names))
    np.testing.assert_array_equal(rows.y, given[1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda x, y: {"x": x[:150]}, "holds 150 calibration rows; expected at least 200"),
        (lambda x, y: {"x": x[:, :16]}, r"expects .*\(32, 32, 3\)|rows of .*\(16, 32, 3\)"),
        (lambda x, y: {"x": x.astype(np.float32) / 255}, "uint8"),
        (lambda x, y: {"x": x, "y": y + 1}, "y has values from"),
        (lambda x, y: {"x": x, "y": np.full(len(x), "unicorn")}, "'unicorn', which is not a class"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, given: tuple[Array, Array], arrays: Any, message: str
) -> None:
    x, y = given
    y = y.copy()
    y[0] = 9
    np.savez(tmp_path / "rows.npz", **arrays(x, y))
    with pytest.raises(UserError, match=message):
        calibrate_bundle(Wanted(OLD, tmp_path / "rows.npz", out=tmp_path, say=lambda _: None))
    assert not (tmp_path / "cifar10-resnet32").exists()


def test_rows_that_trained_the_bundle_are_refused(tmp_path: Path, labelled: Path) -> None:
    copied = Path(shutil.copytree(OLD, tmp_path / "copy"))
    sha256 = npz_rows.sha256_of(labelled)
    edit(copied, lambda m: m["made"]["second_network"]["train"].update(sha256=sha256))
    with pytest.raises(UserError, match="a network of this bundle was trained on"):
        calibrate_bundle(Wanted(copied, labelled, out=tmp_path, say=lambda _: None))


@pytest.mark.parametrize(
    ("folder", "message"),
    [("cifar10-resnet32/1", "not trained on disturbed rows"), ("cifar10-resnet32-ae/1", "an adversarial autoencoder")],
)
def test_bundles_that_cannot_have_it_are_refused_before_the_rows_are_read(
    folder: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        calibrate_bundle(Wanted(ROOT / "models" / "bundles" / folder, tmp_path / "none.npz", say=lambda _: None))


def test_a_version_that_is_there_and_a_useless_accuracy_are_refused_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists"):
        calibrate_bundle(Wanted(OLD, tmp_path / "none.npz", version="1", say=lambda _: None))
    with pytest.raises(UserError, match="--accuracy 93"):
        calibrate_bundle(Wanted(OLD, tmp_path / "none.npz", accuracy=93, say=lambda _: None))


def test_a_bundle_that_lies_in_no_folder_of_its_name_needs_out(tmp_path: Path) -> None:
    """Otherwise the next version would be written two folders above, wherever that is."""
    lone = Path(shutil.copytree(OLD, tmp_path / "mine"))
    with pytest.raises(UserError, match="is not in a folder cifar10-resnet32.*with --out"):
        calibrate_bundle(Wanted(lone, tmp_path / "none.npz", say=lambda _: None))
    with pytest.raises(UserError, match="there is no calibration file"):
        calibrate_bundle(Wanted(lone, tmp_path / "none.npz", out=tmp_path, say=lambda _: None))


@pytest.mark.parametrize("second", [None, "a head", {"head": 0, "rows": "many"}])
def test_a_manifest_may_tell_anything_of_its_second_network(tmp_path: Path, second: object) -> None:
    copied = Path(shutil.copytree(OLD, tmp_path / "copy"))
    edit(copied, lambda m: m["made"].update(second_network=second))
    with pytest.raises(UserError, match="not trained on disturbed rows|there is no calibration file"):
        calibrate_bundle(Wanted(copied, tmp_path / "none.npz", out=tmp_path, say=lambda _: None))


def test_the_command_needs_no_torch_and_says_what_it_made(tmp_path: Path, labelled: Path) -> None:
    old = without_int8(OLD, tmp_path / "old")
    (old / SIGNATURE_FILE).write_bytes(bytes(SIGNATURE_BYTES))
    script = f"""
import sys
sys.modules["torch"] = None
from harmgauge_models.calibration import adjusting, calibrate, singles
adjusting.DISTURBED_ROWS = calibrate.DISTURBED_ROWS = {ROWS}
singles.SET_ROWS, singles.STRENGTHS = 20, (1.0,)
from harmgauge.cli.main import main
sys.exit(main(["calibrate", {str(old)!r}, "--calibration", {str(labelled)!r}, "--out", {str(tmp_path)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "float32: estimate of accuracy: 9" in done.stdout
    assert f"fitted to the labels of {ROWS} rows and 1 disturbed copy of each" in done.stdout
    assert f"next: HARMGAUGE_BUNDLE={tmp_path}/cifar10-resnet32/1 harmgauge serve" in done.stdout
    assert "it is not signed yet: harmgauge sign" in done.stdout
    assert "calibrate" in load(tmp_path / "cifar10-resnet32" / "1").manifest.made["error_probability"]["command"]


def test_its_help_loads_nothing_heavy() -> None:
    script = """
import sys
from harmgauge.cli.main import main
try:
    main(["calibrate", "--help"])
except SystemExit:
    pass
print(sorted({"numpy", "onnx", "onnxruntime", "torch", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--accuracy" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
