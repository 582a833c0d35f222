"""Texts to the graph's inputs, with the tokenizer in the bundle (the package `tokenizers`, an extra)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from harmgauge.api.body.named.assemble import assemble, place
from harmgauge.api.body.named.plan import Plan, plan_of
from harmgauge.api.body.steps import Steps
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import TEXT, NamedInputs
from harmgauge.bundle.named_rows import NamedRows, offsets_of
from harmgauge.bundle.rows import Array
from harmgauge.bundle.tokenizer import open_tokenizer
from harmgauge.errors import Unprocessable

STEP_CHARACTERS = 4096
"""Characters tokenized in one step: about a millisecond."""

MASK = "attention_mask"
_PARTS = {"input_ids": "ids", "token_type_ids": "type_ids"}  # nosec B105  # no password


class TextReader:
    """Reads texts with a `tokenizers.Tokenizer`; any number of threads may use it."""

    def __init__(self, inputs: NamedInputs, tokenizer: Any) -> None:  # noqa: ANN401 - the library's own class
        self._tokenizer = tokenizer
        self._plan: Plan = plan_of(inputs)
        # With a mask that is 0 in padding, no token of a text can be mistaken for padding.
        self._has_mask = MASK in inputs.names and inputs.by_name[MASK].pad_value == 0

    def read(self, texts: Sequence[str], first: int = 0) -> Steps[NamedRows]:
        """Rows of texts, n >= 1, in steps; `first` is the number of the first in its request. Raises Unprocessable."""
        inputs = self._plan.inputs
        tokens: dict[str, list[Array]] = {name: [] for name in inputs.names}
        lengths: list[int] = []
        at, most = 0, inputs.maximum or 0
        while at < len(texts):
            end, characters = at + 1, len(texts[at])
            while end < len(texts) and characters + len(texts[end]) <= STEP_CHARACTERS:
                characters += len(texts[end])
                end += 1
            encoded = [self._encoded(text) for text in texts[at:end]]
            for row, found in enumerate(encoded, first + at):
                lengths.append(len(found))
                if not 1 <= len(found) <= most:
                    remedy = ": shorten it, or build the bundle with a tokenizer that truncates" if len(found) else ""
                    raise Unprocessable(f"{place(row, TEXT)} has {len(found)} tokens; expected 1 to {most}{remedy}.")
            for name, parts in tokens.items():
                if name != MASK:
                    own = [getattr(found, _PARTS[name]) for found in encoded]
                    flat = own[0] if len(own) == 1 else list(chain.from_iterable(own))
                    parts.append(np.array(flat, inputs.by_name[name].dtype))
            at = end
            yield
        own_lengths = np.array(lengths, np.int64)
        free: dict[str, Array] = {}
        for name, parts in tokens.items():
            if name == MASK:  # texts are not padded
                free[name] = np.ones(int(own_lengths.sum()), inputs.by_name[name].dtype)
            else:
                free[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
                parts.clear()
        if self._has_mask:
            return NamedRows({}, free, offsets_of(own_lengths))
        return assemble({}, free, dict.fromkeys(free, own_lengths), self._plan, first)

    def _encoded(self, text: str) -> Any:  # noqa: ANN401 - the library's own class
        try:
            return self._tokenizer.encode(text)
        except BaseException as error:  # a panic of the library is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
                raise
            raise Unprocessable("The bundle's tokenizer fails on this text; send its tokens instead.") from None


def open_text_reader(bundle: Bundle) -> TextReader | None:
    """The reader of texts for a bundle with a tokenizer; None without one. Raises BundleError or SettingsError."""
    served, tokenizer = bundle.manifest.served, open_tokenizer(bundle)
    return TextReader(served, tokenizer) if isinstance(served, NamedInputs) and tokenizer is not None else None
