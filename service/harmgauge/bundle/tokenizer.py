"""The tokenizer in a bundle (the package `tokenizers`, an extra)."""

from __future__ import annotations

import importlib
from typing import Any

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.errors import BundleError, SettingsError

MAX_TOKENIZER_BYTES = 64 * 2**20
"""A vocabulary of 250,000 tokens takes 17 MB."""


def open_tokenizer(bundle: Bundle) -> Any:  # noqa: ANN401 - the library's own class
    """The bundle's `tokenizers.Tokenizer`, without padding, and with its truncation at most at the bundle's maximum;
    None for a bundle without one.

    Raises BundleError if the file is not a tokenizer, SettingsError without the package.
    """
    served = bundle.manifest.served
    if not isinstance(served, NamedInputs) or served.tokenizer is None:
        return None
    file = bundle.path / served.tokenizer
    size_bytes = bundle.manifest.files[served.tokenizer].bytes
    if size_bytes > MAX_TOKENIZER_BYTES:
        raise BundleError(f"{file} has {size_bytes} bytes; expected at most {MAX_TOKENIZER_BYTES}")
    try:
        library: Any = importlib.import_module("tokenizers")
    except ImportError as error:
        raise SettingsError(f"{file} requires tokenizers ({error}): pip install 'harmgauge[text]'") from error
    document = bundle.read(served.tokenizer)
    try:
        tokenizer = library.Tokenizer.from_str(document.decode())
        tokenizer.no_padding()
        if (truncation := tokenizer.truncation) is not None:
            kept = {key: truncation[key] for key in ("stride", "strategy", "direction")}
            tokenizer.enable_truncation(min(truncation["max_length"], served.maximum or 1), **kept)
        tokenizer.encode("a")
    except BaseException as error:  # a panic of the library is not an Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise BundleError(f"{file} is not a tokenizer ({str(error)[:200]}): build the bundle again") from None
    return tokenizer
