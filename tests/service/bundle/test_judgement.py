"""Plain sentences from parts of a manifest that may hold anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.bundle.judgement import MOST_CHARACTERS, judgement_of
from harmgauge.bundle.load import load
from harmgauge.bundle.manifest import Manifest

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def manifest(image_bundle_path: Path) -> Manifest:
    return load(image_bundle_path).manifest


def judged(manifest: Manifest, reason: Any, judgement: Any) -> Any:
    return judgement_of(manifest.model_copy(update={"score": {"reason": reason}, "quality": {"judgement": judgement}}))


def test_most_bundles_say_nothing(manifest: Manifest) -> None:
    bare = manifest.model_copy(update={"score": {"loss": "kld"}, "quality": {}})
    assert judgement_of(bare) == (None, None, None)


def test_what_is_said_is_one_line(manifest: Manifest) -> None:
    found = judged(manifest, "Entropy\nis better.", {"sentence": "Not \x1b[31mworth it.", "worth_serving": False})
    assert found == ("Entropy is better.", "Not [31mworth it.", False)
    assert judged(manifest, "x" * 5000, {"worth_serving": True}) == ("x" * MOST_CHARACTERS, None, True)


@given(reason=ANYTHING, judgement=ANYTHING | st.fixed_dictionaries({"sentence": ANYTHING, "worth_serving": ANYTHING}))
def test_anything_may_stand_there(manifest: Manifest, reason: Any, judgement: Any) -> None:
    found = judged(manifest, reason, judgement)
    for text in found[:2]:
        assert text is None or (text and text.isprintable() and len(text) <= MOST_CHARACTERS)
    assert found.worth_serving in (None, True, False)
