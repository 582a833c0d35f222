"""A bundle is served as its manifest states, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import DETECTOR_FILE, MANIFEST_FILE, REFERENCE_FILE, load
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.bundles import Manifest, edit, replace_file


@pytest.fixture
def folder(image_bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, for tests to break."""
    return Path(shutil.copytree(image_bundle_path, tmp_path / "copy"))


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_a_good_bundle_loads(folder: Path) -> None:
    bundle = load(folder)
    assert bundle.manifest.name == "toy"
    assert bundle.manifest.input.row_bytes == 48
    assert bundle.manifest.input.image_size == (4, 4)
    assert len(bundle.reference.scores) == 600
    assert bundle.sha256 == hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()


def test_each_precision_has_its_own_error_probability(error_probability_bundle_path: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(error_probability_bundle_path, tmp_path / "copy"))
    whole, small = load(folder), load(folder, "int8")
    assert whole.error_probability == whole.manifest.error_probability
    assert small.manifest.int8 is not None
    assert small.error_probability == small.manifest.int8.error_probability != whole.error_probability
    assert whole.no_error_probability is small.no_error_probability is None

    edit(folder, lambda manifest: manifest["int8"].pop("error_probability"))
    small = load(folder, "int8")
    assert small.error_probability is None
    assert small.no_error_probability == "the bundle has none for its 8-bit graph: harmgauge calibrate adds one"
    assert load(folder).no_error_probability is None


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ("the score is no second network's", "the score is no second network's"),
        ("two\nlines\x1b[2J and a bell\a", "two lines [2J and a bell"),
        (" \x00 ", "the bundle does not say why"),
    ],
)
def test_why_there_is_no_error_probability_is_one_line(folder: Path, stated: str, shown: str) -> None:
    edit(folder, lambda manifest: manifest.update(error_probability=stated))
    assert load(folder).no_error_probability == shown


@pytest.mark.parametrize("name", [DETECTOR_FILE, REFERENCE_FILE, "samples.npz", "report/build.png"])
def test_one_changed_bit_is_noticed(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name} is not the file .* \(sha256 differs\)"):
        load(folder)


def test_a_cut_off_or_missing_file_is_noticed(folder: Path) -> None:
    (folder / DETECTOR_FILE).write_bytes(b"short")
    with pytest.raises(BundleError, match="has 5 bytes, but the manifest says"):
        load(folder)
    (folder / DETECTOR_FILE).unlink()
    with pytest.raises(BundleError, match="detector.onnx cannot be read"):
        load(folder)
    with pytest.raises(BundleError, match="is not a bundle"):
        load(folder / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema_version=3), "schema_version is 3; this harmgauge supports 1 and 2"),
        (lambda m: m.update(schema_version="two"), "schema_version: Input should be 2"),
        (lambda m: m.pop("schema_version"), "schema_version: Field required"),
        (lambda m: m.update(surprise=1), "surprise: Extra inputs"),
        (lambda m: m.update(name="../up"), "name: String should match"),
        (lambda m: m.update(loss="kld"), "loss: Extra inputs"),
        (lambda m: m.update(detector="../up"), "detector: String should match"),
        (lambda m: m.update(score={str(i): i for i in range(101)}), "score: Dictionary should have at most 100 items"),
        (lambda m: m.update(inputs=[]), "inputs: Tuple should have at least 1 item"),
        (lambda m: m.update(inputs=m["inputs"] * 1001), "inputs: Tuple should have at most 1000 items"),
        (lambda m: m.update(reference={}), "reference: Dictionary should have at least 1 item"),
        (lambda m: m.update(reference={"all": "other.npz"}), "does not list other.npz among its files"),
        (lambda m: m.pop("error_probability"), "error_probability: Field required"),
        (lambda m: m.update(error_probability=""), "error_probability"),
        (lambda m: m.update(class_names=["one"]), "class_names"),
        (
            lambda m: m.update(class_names=["a", "b", "a"]),
            "the classes 0 and 2 are both called 'a'",
        ),
        (lambda m: m.update(inputs=m["inputs"] * 2), "two inputs are called 'input'"),
        (lambda m: m["inputs"][0].update(range=[255, 0]), r"range must be \[minimum, maximum\]"),
        (lambda m: m["inputs"][0].update(range=[0, 256]), "256 is not a valid uint8"),
        (lambda m: m["inputs"][0].update(range=[-1, 255]), "-1 is not a valid uint8"),
        (lambda m: m["inputs"][0].update(range=[0.5, 255]), "0.5 is not a valid uint8"),
        (lambda m: m["inputs"][0].update(dtype="float16", range=[0, 1e5]), "100000 is not a valid float16"),
        (lambda m: m["inputs"][0].update(range=None, vocabulary_size=257), "256 is not a valid uint8"),
        (lambda m: m["threshold"].update(value=float("nan")), "threshold.value: Input should be a finite number"),
        (lambda m: m["threshold"].update(value=1e39), "threshold.value: Input should be less than 340"),
        (lambda m: m["threshold"].update(rows=5), "threshold.rows"),
        (lambda m: m["inputs"][0].update(dtype="object"), "inputs.0.dtype"),
        (lambda m: m["inputs"][0].update(surprise=1), "inputs.0.surprise: Extra inputs"),
        (lambda m: m["inputs"][0].update(shape=[4, 0, 3]), "inputs.0.shape"),
        (lambda m: m["inputs"][0].update(shape=[1] * 9), "inputs.0.shape: Tuple should have at most 8 items"),
        (lambda m: m["inputs"][0].update(shape=[4, 4]), "is not an HWC image with 1 or 3 channels"),
        (lambda m: m["drift"].update(window_rows=0), "drift.window_rows"),
        (lambda m: m["files"].pop(REFERENCE_FILE), "does not list reference.npz"),
        (
            lambda m: m["files"].update({"../x": m["files"][DETECTOR_FILE]}),
            "lists '../x', which is not a valid name for a file in it",
        ),
        (
            lambda m: m["files"].update({"/etc/passwd": m["files"][DETECTOR_FILE]}),
            "'/etc/passwd', which is not a valid name",
        ),
        (lambda m: m["files"].update({"a/../../x": m["files"][DETECTOR_FILE]}), "is not a valid name for a file"),
        (lambda m: m["files"].update({"report\\..\\x": m["files"][DETECTOR_FILE]}), "is not a valid name for a file"),
        (
            lambda m: m["files"].update({"a\0b": m["files"][DETECTOR_FILE]}),
            r"'a\\x00b', which is not",
        ),
        (lambda m: m["files"].update({"x" * 5000: m["files"][DETECTOR_FILE]}), "cannot be read"),
        (lambda m: m["files"][DETECTOR_FILE].update(bytes=10**12), "bytes: Input should be less than"),
        (lambda m: m["files"].update({f"f{i}": m["files"][DETECTOR_FILE] for i in range(1001)}), "at most 1000 items"),
        (lambda m: m["inputs"][0].update(shape=[2**31, 2**31, 3]), r"one instance has more than 1073741824 bytes"),
        (lambda m: m["inputs"][0].update(shape=[10**400, 4, 3]), "inputs.0.shape.0"),
        (lambda m: m["drift"].update(window_rows=10**12), "drift.window_rows"),
        (lambda m: m.update(made=json.loads('{"a":' * 500 + "1" + "}" * 500)), "recursion limit exceeded"),
    ],
)
def test_a_manifest_that_does_not_hold_is_refused(
    folder: Path, change: Callable[[Manifest], object], message: str
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=message):
        load(folder)


def test_a_key_given_twice_is_refused(folder: Path) -> None:
    """Parsers differ in which of the two they use, so people could see one while the other is served."""
    text = (folder / MANIFEST_FILE).read_text()
    (folder / MANIFEST_FILE).write_text(text.replace('"name"', '"version": "9", "name"', 1))
    with pytest.raises(BundleError, match="it has the key 'version' twice in one object: keep one"):
        load(folder)


def test_files_that_nobody_needs_are_refused_unread(folder: Path) -> None:
    entry = {"sha256": "0" * 64, "bytes": 2**29}
    edit(folder, lambda manifest: manifest["files"].update(extra=entry))
    with pytest.raises(BundleError, match="other than graphs and references have .* at most 536870912: remove"):
        load(folder)


def test_large_files_that_are_not_served_are_hashed_in_little_memory(folder: Path) -> None:
    """A folder of a few KB used to take 3.2 GiB."""
    size_bytes = 64 * 2**20
    with (folder / "extra").open("wb") as stream:
        stream.truncate(size_bytes)
    entry = {"sha256": hashlib.sha256(bytes(size_bytes)).hexdigest(), "bytes": size_bytes}
    edit(folder, lambda manifest: manifest["files"].update(extra=entry))
    tracemalloc.start()
    load(folder)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 * 2**20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(scores=np.zeros(99)), "n >= 100"),
        (npz(scores=np.zeros(200, np.float32)), "must be float64"),
        (npz(scores=np.array([0.0] * 150 + [np.nan])), "finite and sorted"),
        (npz(scores=np.linspace(1, 0, 200)), "finite and sorted"),
        (npz(other=np.zeros(200)), "no readable array 'scores'"),
        (b"", "no readable array 'scores'"),
        (npy(np.linspace(0, 1, 200)), "File is not a zip file; expected a file written by numpy.savez"),
        (b"no zip at all", "no readable array 'scores'"),
        (pickle.dumps({"scores": [1.0] * 200}), "no readable array 'scores'"),
        (npz(scores=np.array([{"a": 1}] * 200, dtype=object)), "no readable array 'scores'"),
    ],
)
def test_a_reference_that_is_none_is_refused_and_never_unpickled(folder: Path, data: bytes, message: str) -> None:
    replace_file(folder, REFERENCE_FILE, data)
    with pytest.raises(BundleError, match=message):
        load(folder)


def test_a_graph_that_is_not_as_promised_is_refused(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(class_names=["a", "b"]))
    with pytest.raises(BundleError, match=r"probabilities \(1, 3\); expected \(1, 2\)"):
        OnnxRuntime(load(folder), "cpu")
    replace_file(folder, DETECTOR_FILE, b"no graph")
    with pytest.raises(BundleError, match=r"detector.onnx cannot be served: it is not a readable ONNX graph"):
        load(folder)
