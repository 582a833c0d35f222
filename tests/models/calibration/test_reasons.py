"""Bundles without P(wrong) have a text with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmgauge.bundle.load import load
from harmgauge_models.calibration.reasons import why_none
from tests.conftest import ROOT
from tests.support.toy import toy_autoencoder_bundle, toy_bundle

BUNDLES = ROOT / "models" / "bundles"


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("cifar10-resnet32/1", "was not trained on disturbed rows"),
        ("cifar10-resnet32/2", None),
        ("cifar10-resnet32-ae/1", "an adversarial autoencoder rebuilds the input"),
    ],
)
def test_of_shipped_bundles_the_one_with_a_head_can_have_it(folder: str, reason: str | None) -> None:
    manifest = load(BUNDLES / folder).manifest
    found = why_none(manifest.detector, manifest.made["second_network"])
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_a_head_for_rows_can_have_it_too() -> None:
    assert why_none("distillation", {"rows": {"layout": "table"}}) is None
    assert "the score is the classifier's own entropy" in str(why_none("entropy", {"none": "better"}))


def test_builds_without_such_a_network_say_why(tmp_path: Path) -> None:
    given = load(toy_bundle(tmp_path / "given"))
    assert given.no_error_probability is not None
    assert "was not trained on disturbed rows" in given.no_error_probability
    rebuilt = load(toy_autoencoder_bundle(tmp_path / "ae"))
    assert "an adversarial autoencoder" in str(rebuilt.no_error_probability)
    assert rebuilt.error_probability is None
