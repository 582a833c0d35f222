"""Chooses the disturber that fits records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array
from harmgauge_models.data.record_disturbances import RecordDisturber
from harmgauge_models.data.record_disturbances.categories import Categories
from harmgauge_models.data.record_disturbances.numbers import Numbers
from harmgauge_models.data.record_disturbances.part import RecordPart
from harmgauge_models.data.record_disturbances.texts import Texts
from harmgauge_models.data.record_disturbances.tokens import Tokens
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records
from harmgauge_models.graphs.run import predict

DISTURBED_ROWS = 256

RecordLayout = Literal["text", "tokens", "table"]


def record_layout(x: Array, inputs: Sequence[Input]) -> RecordLayout:
    """The structure of records: one text, token ids, or columns."""
    if records.TEXT in records.fields(x) and all(taken.name != records.TEXT for taken in inputs):
        return "text"
    if token_fields(x, inputs):
        return "tokens"
    return "text" if all(is_free_text(taken) for taken in inputs) else "table"


def token_fields(x: Array, inputs: Sequence[Input]) -> tuple[str, ...]:
    """The fields as long as the mask, the ids first; none without a mask."""
    mask = records.mask_field(x)
    if mask is None:
        return ()
    same = [taken.name for taken in inputs if x.dtype[taken.name].shape == x.dtype[mask].shape and taken.name != mask]
    ids = [name for name in same if "id" in name.lower() and "type" not in name.lower()] or same
    return (ids[0], *(name for name in same if name != ids[0]), mask) if ids else ()


def is_free_text(taken: Input) -> bool:
    """Whether an input is text, rather than a category or numbers."""
    return taken.is_text and taken.categories is None


def record_disturber(
    model: Path | bytes,
    output: str,
    x: Array,
    inputs: Sequence[Input],
    tokenizer: Tokenizer | None,
) -> RecordDisturber:
    """A disturber for records like `x` after which `model` can still compute `output`.

    Strings that the data lack, or numbers beyond their range, may be ids that the model lacks: then there are none.
    Raises UserError if the records have nothing that could be disturbed.
    """
    for parts in _choices(x, inputs, tokenizer):
        if not parts:
            raise UserError("the inputs hold neither numbers nor strings that could be disturbed")
        disturber = RecordDisturber(parts)
        if _runs(model, output, disturber, x):
            break
    return disturber


def _choices(x: Array, inputs: Sequence[Input], tokenizer: Tokenizer | None) -> Iterator[list[RecordPart]]:
    """The parts with all disturbances, then without those that some models reject."""
    if tokenizer is not None:
        yield [Texts(x, [records.TEXT], tokenizer)]
        return
    tokens = token_fields(x, inputs)
    numbers = [taken for taken in inputs if not taken.is_text and taken.name not in tokens]
    categories = [taken.name for taken in inputs if taken.categories is not None]
    texts = [taken.name for taken in inputs if is_free_text(taken)]
    for bounded, known_only in product((False, True), (False, True)):
        parts: list[RecordPart] = []
        if tokens:
            pads = {taken.name: taken.pad_value or 0 for taken in inputs if taken.name in tokens}
            parts.append(Tokens(x, tokens[0], pads))
        if numbers:
            missing = any(taken.missing for taken in numbers)
            parts.append(Numbers(x, [taken.name for taken in numbers], missing=missing, bounded=bounded))
        if categories:
            parts.append(Categories(x, categories, known_only=known_only))
        if texts:
            parts.append(Texts(x, texts))
        yield parts


def _runs(model: Path | bytes, output: str, disturber: RecordDisturber, x: Array) -> bool:
    random = np.random.default_rng(0)
    disturbed, _ = disturber(x[random.integers(len(x), size=DISTURBED_ROWS)], random)
    try:
        predict(model, disturbed, "disturbed rows", output)
    except UserError:
        return False
    return True
