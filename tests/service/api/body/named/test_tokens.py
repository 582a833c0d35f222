"""Texts become the tokens that the tokenizer gives, however many are read together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harmgauge.api.body.named.tokens import STEP_CHARACTERS, TextReader
from harmgauge.api.body.steps import finish
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows

tokenizers = pytest.importorskip("tokenizers")

WORDS = {"[PAD]": 0, "[UNK]": 1, "free": 2, "money": 3, "now": 4}


def reader(*names: str, dtype: str = "int64") -> TextReader:
    """A reader for inputs of these names, with a tokenizer that splits at spaces; its tokens have type 1."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(" ", "removed")
    template = tokenizers.processors.TemplateProcessing(single="$A:1", pair="$A:1 $B:2", special_tokens=[])
    tokenizer.post_processor = template
    common: dict[str, Any] = {"dtype": dtype, "shape": (None,), "maximum": 3000, "pad_value": 0}
    return TextReader(NamedInputs(inputs=tuple(Input(name=name, **common) for name in names)), tokenizer)


def read(texts: list[str], *names: str, dtype: str = "int64") -> NamedRows:
    return finish(reader(*names, dtype=dtype).read(texts))


def test_all_inputs_of_several_texts() -> None:
    rows = read(["free money", "now", "so free"], "token_type_ids", "input_ids", "attention_mask", dtype="int32")
    assert rows.lengths.tolist() == [2, 1, 2]
    assert rows.free["input_ids"].tolist() == [2, 3, 4, 1, 2]
    assert rows.free["attention_mask"].tolist() == [1] * 5
    assert rows.free["token_type_ids"].tolist() == [1] * 5
    assert {array.dtype for array in rows.free.values()} == {np.dtype("int32")}


def test_texts_read_in_steps_are_those_read_alone() -> None:
    texts = ["free " * (1 + at * 37 % 400) for at in range(30)]
    assert sum(map(len, texts)) > 3 * STEP_CHARACTERS
    together = read(texts, "input_ids", "attention_mask")
    alone = NamedRows.join([read([text], "input_ids", "attention_mask") for text in texts])
    assert together.lengths.tolist() == alone.lengths.tolist()
    for name, array in alone.free.items():
        np.testing.assert_array_equal(together.free[name], array)


def test_a_word_that_is_the_padding_stays_if_a_mask_keeps_it() -> None:
    with_mask = read(["free [PAD]"], "input_ids", "attention_mask")
    assert with_mask.free["input_ids"].tolist() == [2, 0]
    assert read(["free [PAD]"], "input_ids").free["input_ids"].tolist() == [2]
