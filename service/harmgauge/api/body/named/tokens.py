"""Texts to the graph's inputs, with the tokenizer in the bundle (the package `tokenizers`, an extra)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from harmgauge.api.body.named.assemble import assemble, place
from harmgauge.api.body.named.plan import Plan, plan_of
from harmgauge.api.body.steps import Steps
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import TEXT, NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.errors import BundleError, SettingsError, Unprocessable

MAX_TOKENIZER_BYTES = 64 * 2**20

STEP_CHARACTERS = 4096
"""Characters tokenized in one step: about a millisecond."""

_PARTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class TextReader:
    """Tokenizes texts; any number of threads may use it.

    The tokenizer's truncation applies, at most to the bundle's maximum; its padding does not. Raises BundleError if
    the file is not a tokenizer, SettingsError without the package.
    """

    def __init__(self, inputs: NamedInputs, document: bytes, name: str) -> None:
        try:
            library: Any = importlib.import_module("tokenizers")
        except ImportError as error:
            raise SettingsError(f"{name} requires the tokenizers package: pip install 'harmgauge[text]'") from error
        try:
            self._tokenizer = library.Tokenizer.from_str(document.decode())
            self._tokenizer.no_padding()
            truncation = self._tokenizer.truncation
            if truncation is not None:
                kept = {key: truncation[key] for key in ("stride", "strategy", "direction")}
                self._tokenizer.enable_truncation(min(truncation["max_length"], inputs.maximum or 1), **kept)
            self._tokenizer.encode("a")
        except BaseException as error:  # a panic of the library is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise BundleError(f"{name} is not a tokenizer ({str(error)[:200]}): build the bundle again") from None
        self._plan: Plan = plan_of(inputs)
        self._truncates = truncation is not None

    def read(self, texts: Sequence[str], first: int = 0) -> Steps[NamedRows]:
        """Rows of texts, n >= 1, in steps; `first` is the number of the first in its request. Raises Unprocessable."""
        encoded: list[Any] = []
        at, most = 0, self._plan.inputs.maximum or 0
        while at < len(texts):
            end, characters = at + 1, len(texts[at])
            while end < len(texts) and characters + len(texts[end]) <= STEP_CHARACTERS:
                characters += len(texts[end])
                end += 1
            for row, text in enumerate(texts[at:end], at):
                found = self._encoded(text)
                if len(found.ids) > most:
                    raise Unprocessable(
                        f"{place(first + row, TEXT)} has {len(found.ids)} tokens; expected at most {most}: shorten it, "
                        "or build the bundle with a tokenizer that truncates."
                    )
                if not found.ids:
                    raise Unprocessable(f"{place(first + row, TEXT)} has no tokens; expected at least one.")
                encoded.append({name: getattr(found, _PARTS[name]) for name in self._plan.inputs.names})
            at = end
            yield
        lengths = np.array([len(row["input_ids"]) for row in encoded], np.int64)
        free = {
            found.name: np.array([token for row in encoded for token in row[found.name]], found.dtype)
            for found in self._plan.inputs.inputs
        }
        return assemble({}, free, dict.fromkeys(free, lengths), self._plan, first)

    def _encoded(self, text: str) -> Any:  # noqa: ANN401 - the library's own class
        try:
            return self._tokenizer.encode(text)
        except BaseException as error:  # a panic of the library is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
                raise
            raise Unprocessable("The bundle's tokenizer fails on this text; send its tokens instead.") from None


def open_text_reader(bundle: Bundle) -> TextReader | None:
    """The reader of texts for a bundle with a tokenizer; None without one. Raises BundleError or SettingsError."""
    served = bundle.manifest.served
    if not isinstance(served, NamedInputs) or served.tokenizer is None:
        return None
    size_bytes = bundle.manifest.files[served.tokenizer].bytes
    if size_bytes > MAX_TOKENIZER_BYTES:
        raise BundleError(
            f"{bundle.path / served.tokenizer} has {size_bytes} bytes; expected at most {MAX_TOKENIZER_BYTES}"
        )
    return TextReader(served, bundle.read(served.tokenizer), str(bundle.path / served.tokenizer))
