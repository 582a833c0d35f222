"""Texts to the graph's inputs, with the tokenizer in the bundle (the package `tokenizers`, an extra)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harmgauge.api.body.named.assemble import assemble, place
from harmgauge.api.body.named.plan import Plan, plan_of
from harmgauge.api.body.steps import Steps
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import TEXT, NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.bundle.rows import Array
from harmgauge.bundle.tokenizer import open_tokenizer
from harmgauge.errors import Unprocessable

STEP_CHARACTERS = 4096
"""Characters tokenized in one step: about a millisecond."""

_PARTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}  # nosec B105  # no password


class TextReader:
    """Reads texts with a `tokenizers.Tokenizer`; any number of threads may use it."""

    def __init__(self, inputs: NamedInputs, tokenizer: Any) -> None:  # noqa: ANN401 - the library's own class
        self._tokenizer = tokenizer
        self._plan: Plan = plan_of(inputs)

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
                lengths.append(len(found.ids))
                if not 1 <= len(found.ids) <= most:
                    remedy = ": shorten it, or build the bundle with a tokenizer that truncates" if found.ids else ""
                    raise Unprocessable(
                        f"{place(row, TEXT)} has {len(found.ids)} tokens; expected 1 to {most}{remedy}."
                    )
            for input_ in inputs.inputs:
                own = [token for found in encoded for token in getattr(found, _PARTS[input_.name])]
                tokens[input_.name].append(np.array(own, input_.dtype))
            at = end
            yield
        free = {name: np.concatenate(tokens.pop(name)) for name in inputs.names}
        own_lengths = np.array(lengths, np.int64)
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
