"""Converts text to token ids with a Hugging Face `tokenizer.json`, as the service does."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records

FIELDS = ("input_ids", "attention_mask", "token_type_ids")
"""The inputs that a tokenizer can make."""

MOST_BYTES = 2**26
"""Limit for the file."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer for a graph with the inputs `names`; texts of more than `maximum` tokens are truncated."""

    path: Path
    names: tuple[str, ...]
    maximum: int
    _tokenizer: Any

    @classmethod
    def open(cls, path: Path, names: Sequence[str], most: int) -> Tokenizer:
        """Read the tokenizer in `path`; `most` limits the length of texts that the file does not limit itself.

        Raises UserError if it cannot be read, or if it cannot make all inputs `names` of the classifier.
        """
        try:
            with path.open("rb") as file:
                document = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise UserError(f"--tokenizer {path} cannot be read ({error})") from error
        if len(document) > MOST_BYTES:
            raise UserError(f"--tokenizer {path} has more than {MOST_BYTES} bytes: is it a tokenizer.json?")
        return cls.read(document, path, names, most)

    @classmethod
    def read(cls, document: bytes, path: Path, names: Sequence[str], most: int) -> Tokenizer:
        """Like `open`, from the file's contents."""
        unknown = [name for name in names if name not in FIELDS]
        if unknown or FIELDS[0] not in names:
            raise UserError(
                f"--tokenizer makes the inputs {', '.join(FIELDS)}; the classifier has {', '.join(names)}: export it "
                "with inputs of these names, or leave --tokenizer out and save an array for each input"
            )
        try:
            tokenizers: Any = importlib.import_module("tokenizers")
        except ImportError as error:
            raise UserError(f"--tokenizer requires tokenizers ({error}): pip install 'harmgauge[text]'") from error
        try:
            made = tokenizers.Tokenizer.from_str(document.decode())
        except Exception as error:  # tokenizers raises plain Exception
            raise UserError(
                f"--tokenizer {path} is no tokenizer ({error}): write it with tokenizer.backend_tokenizer.save(path)"
            ) from error
        made.no_padding()
        limit = (made.truncation or {}).get("max_length", most)
        return cls(path, tuple(names), min(limit, most), made).shortened(min(limit, most))

    def shortened(self, maximum: int) -> Tokenizer:
        """The same tokenizer with another maximum."""
        settings = {
            "stride": 0,
            "strategy": "longest_first",
            "direction": "right",
            **(self._tokenizer.truncation or {}),
        }
        self._tokenizer.enable_truncation(**{**settings, "max_length": maximum})
        return Tokenizer(self.path, self.names, maximum, self._tokenizer)

    @property
    def contents(self) -> bytes:
        """The file for the bundle, with the truncation in effect."""
        return str(self._tokenizer.to_str()).encode()

    @property
    def pad_id(self) -> int:
        """The id that pads `input_ids`; 0 if the vocabulary has no usual padding token."""
        found = (self._tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"))
        return next((token for token in found if token is not None), 0)

    def truncated(self, texts: Array) -> int:
        """How many of the texts (n,) are longer than the maximum."""
        return sum(bool(found.overflowing) for found in self._tokenizer.encode_batch([str(text) for text in texts]))

    def records(self, texts: Array, width: int | None = None) -> Array:
        """Records with the inputs and the text, for `texts` (n,); ids are padded to `width`, by default the maximum."""
        texts = np.asarray(texts, object)
        return records.make_records({**self.arrays(texts, width), records.TEXT: texts})

    def arrays(self, texts: Array, width: int | None = None) -> dict[str, Array]:
        """The inputs (n, width) int64 for `texts` (n,)."""
        width = self.maximum if width is None else width
        made = {name: np.zeros((len(texts), width), np.int64) for name in self.names}
        made[FIELDS[0]][:] = self.pad_id
        for row, found in enumerate(self._tokenizer.encode_batch([str(text) for text in texts])):
            parts = {"input_ids": found.ids, "attention_mask": found.attention_mask, "token_type_ids": found.type_ids}
            for name, values in made.items():
                some = parts[name][:width]
                values[row, : len(some)] = some
        return made
