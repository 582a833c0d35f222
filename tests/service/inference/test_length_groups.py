"""Rows of unequal lengths: their groups, their weight, and scores that depend on neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from harmgauge.bundle.load import load
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.errors import BundleError
from harmgauge.inference.length_groups import MAX_CELLS, SHORT, length_groups, row_lengths, row_weight
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.inference.scorer import Scorer
from tests.support.toy_named import (
    STRINGS,
    padded,
    string_inputs,
    table_inputs,
    table_rows,
    token_rows,
    toy_strings,
    toy_table,
    toy_tokens,
)

lengths_of_rows = st_numpy.arrays(np.int64, st.integers(1, 60), elements=st.integers(1, 2000))


@given(lengths_of_rows, st.booleans())
def test_groups_hold_each_row_once_and_no_row_is_padded_to_more_than_twice_its_length(
    lengths: npt.NDArray[np.int64], can_pad: bool
) -> None:
    groups = list(length_groups(lengths, can_pad=can_pad))
    assert sorted(np.concatenate(groups)) == list(range(len(lengths)))
    for group in groups:
        own = lengths[group]
        assert own.max() <= (max(2 * own.min(), SHORT) if can_pad else own.min())
        assert len(own) == 1 or len(own) * own.max() <= MAX_CELLS


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_tokens(tmp_path_factory.mktemp("tokens"))


def test_scores_do_not_depend_on_the_rows_beside_them(tokens: Path, tmp_path: Path) -> None:
    for folder in (tokens, toy_tokens(tmp_path, pad_value=None)):
        scorer, inputs = Scorer(load(folder), "cpu"), load(folder).manifest.served
        assert isinstance(inputs, NamedInputs)
        records = token_rows(40, 7)
        rows = [inputs.rows(padded([record], len(record["input_ids"]))) for record in records]
        alone = np.concatenate([scorer.score(row).scores for row in rows])
        together = scorer.score(type(rows[0]).join(rows)).scores
        np.testing.assert_allclose(together, alone, rtol=1e-5)
        assert len(set(alone.tolist())) > 30


def test_long_categories_run_together() -> None:
    """The graph looks a category up, however long it is."""
    inputs = table_inputs(categories=("Private", "x" * 400))
    arrays = table_rows(2) | {name: np.array([["Private"], ["x" * 400]]) for name in STRINGS}
    assert row_lengths(inputs, inputs.rows(arrays)) is None


def test_long_strings_run_in_groups_too(tmp_path: Path) -> None:
    inputs = string_inputs()
    rows = inputs.rows({"message": np.array([["Private"], ["x" * 4000], ["Private"], ["x" * 50_000]])})
    lengths = row_lengths(inputs, rows)
    assert lengths is not None
    assert len(list(length_groups(lengths, can_pad=True))) == 3
    scores = Scorer(load(toy_strings(tmp_path)), "cpu").score(rows).scores
    assert scores[0] == scores[2] != scores[1]
    assert scores[1] == scores[3]


def test_long_rows_count_as_several_in_a_batch(tokens: Path) -> None:
    inputs = load(tokens).manifest.served
    assert isinstance(inputs, NamedInputs)
    assert row_weight(inputs.blank(3, 512), 32) == 4
    assert row_weight(inputs.blank(3, 100_000), 32) == 32, "a batch holds one"
    assert row_weight(inputs.blank(3), 32) == 1
    assert row_weight(string_inputs().blank(3), 32) == 1


def test_a_graph_of_other_inputs_is_refused(tmp_path: Path) -> None:
    bundle = load(toy_table(tmp_path))
    first, *others = bundle.manifest.inputs
    for inputs, message in (
        (
            [first.model_copy(update={"dtype": "float64"}), *others],
            r"'age' is a tensor\(float\); expected tensor\(double",
        ),
        (
            [first.model_copy(update={"dtype": "string"}), *others],
            r"'age' is a tensor\(float\); expected tensor\(string",
        ),
        (others, "the graph has the inputs .*expected only 'fnlwgt', "),
    ):
        changed = replace(bundle, manifest=bundle.manifest.model_copy(update={"inputs": tuple(inputs)}))
        with pytest.raises(BundleError, match=message):
            OnnxRuntime(changed, "cpu")
