"""Records unlike any disturbance that a bundle was calibrated on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array
from harmgauge_models.data.record_disturbances.numbers import by_field, matrix
from harmgauge_models.data.record_disturbers import is_free_text, token_fields
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.graphs import records

Change = Callable[[Array, int], Array]


def record_changes(inputs: Sequence[Input], tokenizer: Tokenizer | None, x: Array, noise: str) -> dict[str, Change]:
    """The kinds of stress that suit records like `x`; the one called `noise` makes rows that are no real inputs."""
    if tokenizer is not None:
        return _of_texts([records.TEXT], tokenizer, noise)
    tokens = token_fields(x, inputs)
    numbers = [taken.name for taken in inputs if not taken.is_text and taken.name not in tokens]
    texts = [taken.name for taken in inputs if is_free_text(taken)]
    found: dict[str, Change] = {}
    if numbers:
        found["mirrored"] = lambda x, _: _mirrored(x, numbers)
    if texts:
        found |= _of_texts(texts, None, noise)
    if len(inputs) > 1 and not tokens:
        found[noise] = _shuffled
    return found


def _of_texts(names: Sequence[str], tokenizer: Tokenizer | None, noise: str) -> dict[str, Change]:
    def changing(change: Callable[[Array, np.random.Generator], list[str]]) -> Change:
        def apply(x: Array, seed: int) -> Array:
            random = np.random.default_rng(seed)
            made = {
                name: np.array(change(x[name].reshape(-1), random), object).reshape(x[name].shape) for name in names
            }
            if tokenizer is not None:
                made |= tokenizer.arrays(made[records.TEXT], x.dtype[tokenizer.names[0]].shape[0])
            return records.changed(x, made)

        return apply

    return {
        "words_reversed": changing(lambda texts, _: [" ".join(reversed(str(text).split())) for text in texts]),
        "characters_reversed": changing(lambda texts, _: [str(text)[::-1] for text in texts]),
        noise: changing(_any_words),
    }


def _any_words(texts: Array, random: np.random.Generator) -> list[str]:
    """As many words as before, each from a random text."""
    every = [word for text in texts for word in str(text).split()] or [""]
    return [
        " ".join(every[place] for place in random.integers(len(every), size=len(str(text).split()))) for text in texts
    ]


def _mirrored(x: Array, names: Sequence[str]) -> Array:
    values = matrix(x, names)
    ends = np.where(np.isnan(values), np.inf, values).min(0), np.where(np.isnan(values), -np.inf, values).max(0)
    middle = np.where(np.isfinite(ends[0]), ends[0] + ends[1], 0.0)
    return records.changed(x, by_field(x, names, middle - values))


def _shuffled(x: Array, seed: int) -> Array:
    """Each field comes from another row."""
    random = np.random.default_rng(seed)
    return records.changed(x, {name: x[name][random.permutation(len(x))] for name in records.fields(x)})
