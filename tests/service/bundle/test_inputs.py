"""All of schema 2: the allowed values, contradictions, and parts that this version does not support yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harmgauge.bundle.inputs import MOST_ROWS, ErrorProbability, Input, Pictures, Preparation
from harmgauge.bundle.load import load
from harmgauge.bundle.served_input import InputSpec, described
from harmgauge.errors import BundleError
from tests.support.bundles import Manifest, edit


@pytest.fixture
def folder(image_bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, for tests to change."""
    return Path(shutil.copytree(image_bundle_path, tmp_path / "copy"))


GOOD: list[dict[str, Any]] = [
    {"name": "input_ids", "dtype": "int64", "shape": [None], "maximum": 512, "pad_value": 0, "vocabulary_size": 30522},
    {"name": "text", "dtype": "string", "shape": []},
    {"name": "job", "dtype": "string", "shape": [1], "categories": ["clerk", "cook"], "missing": True},
    {"name": "x", "dtype": "float32", "shape": [2], "range": [0, None], "missing": True,
     "columns": [{"name": "age", "kind": "number"}, {"name": "joined", "kind": "time"}]},
    {"name": "pixels", "dtype": "uint8", "shape": [4, 4, 3], "range": [0, 255]},
]  # fmt: skip


@pytest.mark.parametrize("document", GOOD, ids=lambda document: document["name"])
def test_every_kind_of_input_can_be_written_down_and_comes_back(document: dict[str, Any]) -> None:
    found = Input.model_validate(document)
    assert Input.model_validate_json(found.model_dump_json(exclude_none=True)) == found
    assert found.model_dump(mode="json", exclude_defaults=True) == document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"shape": [None, None], "maximum": 3}, "2 free axes"),
        ({"shape": [None]}, "maximum and a free axis"),
        ({"shape": [3], "maximum": 5}, "maximum and a free axis"),
        ({"shape": [3], "pad_value": 0}, "pad_value pads a free axis"),
        ({"shape": [3], "range": [1, 0]}, "range must be .minimum, maximum."),
        ({"shape": [3], "range": [0, 9], "vocabulary_size": 10}, "range and vocabulary_size exclude each other"),
        ({"shape": [3], "dtype": "float32", "vocabulary_size": 10}, "vocabulary_size is for inputs of whole numbers"),
        ({"shape": [3], "categories": ["a"]}, "categories are for string inputs"),
        ({"shape": [3], "dtype": "string", "categories": ["a", "a"]}, "must be distinct"),
        ({"shape": [3], "missing": True}, "missing requires a floating-point dtype or strings"),
        ({"shape": [3], "columns": [{"name": "a", "kind": "number"}]}, "1 columns do not match the size"),
        ({"shape": [2], "columns": [{"name": "a", "kind": "number"}] * 2}, "two columns have the name 'a'"),
        ({"shape": [1], "columns": [{"name": "a", "kind": "colour"}]}, "kind"),
        ({"shape": [1], "name": ""}, "name"),
    ],
)
def test_an_input_that_contradicts_itself_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Input.model_validate({"name": "x", "dtype": "int64", **document})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"layout": "HWC", "std": [0.2, 0, 0.2]}, "std must be above 0"),
        ({"layout": "HWC", "crop": 0}, "crop must have sides of 1"),
        ({"layout": "HWC", "crop": [224, 10**6]}, "crop must have sides of 1"),
        ({"layout": "HWC", "mean": []}, "mean"),
        ({"layout": "HWC", "resize": 200, "crop": 224}, "leaves no room for a crop of 224 x 224"),
        ({"layout": "HWC", "filter": "bicubic", "crop": 224}, "filter requires resize"),
        ({"layout": "HWC", "resize": 8, "filter": "nearest"}, "filter"),
        ({"layout": "WHC"}, "layout"),
    ],
)
def test_a_preparation_of_pictures_that_cannot_be_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pictures.model_validate(document)


def test_a_preparation_is_of_one_kind() -> None:
    for document in ({}, {"pictures": {"layout": "HWC"}, "text": {"tokenizer": "tokenizer.json"}}):
        with pytest.raises(ValidationError, match="either pictures or text"):
            Preparation.model_validate(document)


CHANCE = {
    "slope": -1.2, "intercept": -0.3, "base": 0.05, "base_upper": 0.06, "kappa": 0.1, "rows": 5000, "copies": 4,
    "target": "wrong",
}  # fmt: skip


def test_the_bound_of_an_error_probability_is_above_it() -> None:
    assert ErrorProbability.model_validate(CHANCE).base == 0.05
    with pytest.raises(ValidationError, match="base_upper must be at least base"):
        ErrorProbability.model_validate({**CHANCE, "base_upper": 0.04})


@pytest.mark.parametrize("slope", [0, 1.2, float("nan"), float("-inf")])
def test_the_error_probability_falls_with_the_second_networks_agreement(slope: float) -> None:
    with pytest.raises(ValidationError, match="slope"):
        ErrorProbability.model_validate({**CHANCE, "slope": slope})


@pytest.mark.parametrize("name", ["intercept", "base", "base_upper", "kappa"])
def test_an_error_probability_is_made_of_finite_numbers(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        ErrorProbability.model_validate({**CHANCE, name: float("nan")})


@pytest.mark.parametrize("name", ["rows", "copies"])
def test_an_error_probability_has_counts_that_json_and_metrics_can_carry(name: str) -> None:
    assert ErrorProbability.model_validate({**CHANCE, name: MOST_ROWS})
    with pytest.raises(ValidationError, match=name):
        ErrorProbability.model_validate({**CHANCE, name: 10**30})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: m["reference"].update({"monday": "reference.npz"}), "references by context"),
    ],
)
def test_what_later_versions_serve_is_refused_politely(
    folder: Path, change: Callable[[Manifest], object], what: str
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=f"this version does not support {what}: use a newer harmgauge"):
        load(folder)


def test_missing_values_are_served_and_written_again(folder: Path) -> None:
    edit(folder, lambda m: m.update(preparation=None, columns=None))
    edit(folder, lambda m: m["inputs"][0].update(dtype="float32", range=[0, None], missing=True))
    manifest = load(folder).manifest
    assert manifest.input.missing
    assert described(manifest.input) == manifest.inputs[0]
    with pytest.raises(ValidationError, match="missing requires a floating-point dtype, but dtype is int64"):
        InputSpec(dtype="int64", shape=(2,), missing=True)


def test_what_is_only_told_is_served(folder: Path) -> None:
    """An unknown detector and score, token ids, columns."""
    edit(
        folder,
        lambda m: m.update(detector="mine", score={"of": ["anything", {"deep": True}]}, error_probability="no labels"),
    )
    bundle = load(folder)
    assert (bundle.manifest.detector, bundle.manifest.score["of"][0]) == ("mine", "anything")
    columns = [{"name": name, "kind": "number"} for name in "rgb"]
    edit(folder, lambda m: m["inputs"][0].update(columns=columns, vocabulary_size=256, range=None))
    spec = load(folder).manifest.input
    assert (spec.minimum, spec.maximum) == (0, 255)
