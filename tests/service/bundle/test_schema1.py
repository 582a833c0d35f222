"""Bundles of version 0.1 can still be served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import MANIFEST_FILE, load
from harmgauge.bundle.samples import read_samples
from harmgauge.bundle.write import rewrite_bundle
from harmgauge.errors import BundleError
from harmgauge.inference.scorer import Scorer
from tests.support.bundles import Manifest, edit

BUNDLES = Path(__file__).parents[3] / "models" / "bundles"
SHIPPED = [
    BUNDLES / "cifar10-resnet32" / "1",
    BUNDLES / "cifar10-resnet32" / "2",
    BUNDLES / "cifar10-resnet32-ae" / "1",
]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_bundles_of_version_0_1_are_read_and_scored(folder: Path) -> None:
    written = json.loads((folder / MANIFEST_FILE).read_text())
    assert written["schema_version"] == 1, "before rebuilding this bundle, keep a copy for this test"
    bundle = load(folder)
    manifest = bundle.manifest
    assert manifest.schema_version == 2
    assert manifest.score == {"loss": written["loss"], "temperature": written["temperature"]}
    assert manifest.detector == written["detector"]
    assert not manifest.input.missing
    assert (
        manifest.error_probability
        == "built by harmgauge 0.1, which fitted no estimate of accuracy: run harmgauge calibrate"
    )
    assert manifest.input.model_dump(exclude={"name", "missing"}, exclude_none=True) == {
        **written["input"], "shape": tuple(written["input"]["shape"]),
    }  # fmt: skip
    for name in ("name", "version", "threshold", "int8", "features", "drift", "made", "quality", "files"):
        same = json.loads(manifest.model_dump_json(include={name}, exclude_none=True)).get(name)
        assert same == written.get(name), name
    samples = read_samples(bundle)
    found = Scorer(bundle, "cpu")
    clean, corrupted = found.score(samples.clean[:40]), found.score(samples.corrupted[:40])
    assert np.median(corrupted.scores) > np.median(clean.scores)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a small one, for tests to break."""
    return Path(shutil.copytree(SHIPPED[0], tmp_path / "copy"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(surprise=1), "surprise: Extra inputs"),
        (lambda m: m.update(temperature=-1), "temperature: Input should be greater than 0"),
        (lambda m: m.update(loss="l2"), "loss"),
        (lambda m: m.update(detector="mine"), "detector"),
        (lambda m: m["input"].update(dtype="object"), "input.dtype"),
        (lambda m: m["input"].update(shape=[4, 0, 3]), "input.shape"),
        (lambda m: m["input"].update(shape=[32, 32]), "is not an HWC image with"),
        (lambda m: m["input"]["image"].update(mode="L"), "is not an HWC image of mode L"),
        (lambda m: m["input"].update(shape=[2**30, 2**30, 3]), "one instance has more than 1073741824 bytes"),
        (lambda m: m["input"].update(shape=[10**400, 32, 3]), "copy/bundle.json"),
    ],
)
def test_one_that_does_not_hold_is_refused(folder: Path, change: Callable[[Manifest], object], message: str) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=message):
        load(folder)


def test_a_rewritten_one_is_of_schema_2(folder: Path) -> None:
    old = load(folder)
    contents: dict[str, Any] = {name: old.read(name) for name in old.manifest.files}
    rewrite_bundle(old, old.manifest, contents, lambda _: None)
    document = json.loads((folder / MANIFEST_FILE).read_text())
    assert (document["schema_version"], document["inputs"][0]["shape"]) == (2, [32, 32, 3])
    new = load(folder)
    assert new.manifest.input == old.manifest.input
    assert new.manifest.score == old.manifest.score
