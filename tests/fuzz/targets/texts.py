"""JSON bodies of texts, read whole and in pieces, compared with a tokenizer in Python that splits at spaces."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from harmgauge.api.body.named.tokens import TextReader
from tests.fuzz.expected_named import LONGEST_STRING, row_of
from tests.fuzz.mutate import NUMBERS, below_head, bytewise
from tests.fuzz.target import Target
from tests.fuzz.targets import records
from tests.support.toy_named import token_inputs

CUT_TOKENS = 4

_INPUTS = token_inputs()
_WORDS = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "free", "money", "hello", "caf\u00e9", "\U0001f600"])}

_TOKENS = [
    *NUMBERS, b"[", b"]", b"{", b"}", b",", b":", b'"', b'""', b"\\", b" ", b"  ", b'"instances"', b'"text"',
    b'"text":"free",', b'{"text":"free"},', b'"free money",', b'"\\ud800"', b'"\\u0000"', b"\\u00e9", b"[PAD] ",
    b"\xe2\x80\x8b", b"\xcc\x81", b"free ", b"money ", b'","', b'"},{"text":"', b"null", b'"parameters":{}',
]  # fmt: skip


def splitting_tokenizer(cut: int | None) -> Any:
    """A tokenizer that splits at spaces, and truncates to `cut` tokens."""
    made = Tokenizer(models.WordLevel(_WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    if cut is not None:
        made.enable_truncation(cut)
    return made


_READERS = {
    head: (TextReader(_INPUTS, splitting_tokenizer(cut)), cut) for head, cut in (("whole", None), ("cut", CUT_TOKENS))
}


def _row(item: Any, cut: int | None) -> dict[str, Any] | None:
    text = item["text"] if isinstance(item, dict) and item.keys() == {"text"} else item
    if not isinstance(text, str) or len(text) > LONGEST_STRING:
        return None
    ids = [_WORDS.get(word, 1) for word in text.split(" ") if word][:cut]
    return row_of({"input_ids": ids, "attention_mask": [1] * len(ids)}, _INPUTS) if ids else None


def _expected(body: bytes, cut: int | None) -> list[dict[str, Any]] | None:
    items = records.instances(body)
    if items is None:
        return None
    rows = [_row(item, cut) for item in items]
    return None if None in rows else rows  # type: ignore[return-value]  # None is not among them


def check(case: bytes) -> str:
    head, _, body = case.partition(b"\n")
    reader, cut = _READERS.get(head.decode("latin-1"), _READERS["whole"])
    return records.compared(body, _INPUTS, reader, _expected(body, cut))


def _seeds() -> list[bytes]:
    texts = ["free money now", "caf\u00e9 \U0001f600", "hello " * 10, "a },{ b", '"', "  free  "]
    documents: list[Any] = [
        {"instances": texts},
        {"instances": [{"text": text} for text in texts], "parameters": {"probabilities": True}},
        {"instances": ["free", {"text": "money"}]},
    ]
    return [head.encode() + b"\n" + json.dumps(each).encode() for head in _READERS for each in documents]


TARGET = Target("texts", check, _seeds(), below_head(bytewise(_TOKENS)))
