"""Bundles with named inputs for `make bench`: as large as the tutorials' classifiers, but without training, because the
weights do not change the speed.

The score is the entropy, as in a default build. A second network would add to the graph, and so to the share of bare
ONNX Runtime that the service reaches.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.rows import Array
from harmgauge_models.graphs.fuse import Network, with_entropy
from tests.support.toy_named import NUMBERS, STRINGS, table_inputs, table_rows, write_named

WIDTH, HEADS, HIDDEN, LAYERS, LONGEST, VOCABULARY = 128, 4, 256, 2, 128, 4000
"""The DistilBERT of docs/text.md."""

CATEGORIES = tuple(f"category {at}" for at in range(13))
"""The values of each column of strings; their number is the mean of the data set Adult."""

CLASSES = 2


def table_bundle(folder: Path) -> Path:
    """Scaled numbers and one-hot strings into a logistic regression, as skl2onnx exports it: 14 columns."""
    rows = columns(2000)
    inputs = table_inputs(categories=CATEGORIES)
    named = inputs.rows(rows)
    graph = with_entropy(Network(_pipeline(rows), inputs.names, "probabilities", "probabilities", named=True))
    samples = {"clean": named[:8], "corrupted": named[8:16]}
    return write_named(folder / "table", inputs, graph.SerializeToString(), named, samples)


def columns(rows: int, seed: int = 0) -> dict[str, Array]:
    """Rows for `table_bundle`, by column."""
    random = np.random.default_rng(seed)
    strings = {name: random.choice(CATEGORIES, (rows, 1)) for name in STRINGS}
    return table_rows(rows, seed) | strings


def text_bundle(folder: Path) -> Path:
    """A transformer that reads token ids, and its tokenizer."""
    tokenizer = _tokenizer()
    common: dict[str, Any] = {"dtype": "int64", "shape": (None,), "maximum": LONGEST, "pad_value": 0}
    inputs = NamedInputs(
        inputs=(
            Input(name="input_ids", vocabulary_size=tokenizer.get_vocab_size(), **common),
            Input(name="attention_mask", range=(0, 1), **common),
        )
    )
    ids = np.array([tokenizer.encode(text_of(tokenizer, LONGEST // 2, seed)).ids for seed in range(100)], np.int64)
    rows = inputs.rows({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return write_named(
        folder / "text",
        inputs,
        with_entropy(Network(_encoder(), inputs.names, "logits", "logits", named=True)).SerializeToString(),
        rows,
        {"clean": rows[:8], "corrupted": rows[8:16]},
        preparation={"text": {"tokenizer": "tokenizer.json"}},
        files={"tokenizer.json": tokenizer.to_str().encode()},
    )


def text_of(tokenizer: Tokenizer, tokens: int, seed: int) -> str:
    """A text of invented words that becomes this many tokens."""
    random = np.random.default_rng(seed)
    text = _word(random)
    while len(tokenizer.encode(text)) < tokens:
        longer = f"{text} {_word(random)}"
        text = longer if len(tokenizer.encode(longer)) <= tokens else f"{text}."
    return text


def _word(random: np.random.Generator) -> str:
    return "".join(
        "bcdfglmnprst"[random.integers(12)] + "aeiou"[random.integers(5)] for _ in range(random.integers(1, 5))
    )


def _pipeline(rows: dict[str, Array]) -> onnx.ModelProto:
    frame = pd.DataFrame({name: column[:, 0] for name, column in rows.items()})
    one_hot = OneHotEncoder(handle_unknown="ignore")
    prepared = ColumnTransformer([("numbers", StandardScaler(), list(NUMBERS)), ("strings", one_hot, list(STRINGS))])
    labels = np.random.default_rng(1).integers(CLASSES, size=len(frame))
    fitted = make_pipeline(prepared, LogisticRegression()).fit(frame, labels)
    types = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    types += [(name, StringTensorType([None, 1])) for name in STRINGS]
    exported: onnx.ModelProto = to_onnx(fitted, initial_types=types, options={"zipmap": False})
    return exported


def _tokenizer() -> Tokenizer:
    random = np.random.default_rng(0)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    texts = (" ".join(_word(random) for _ in range(20)) for _ in range(1000))
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projected = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.wide, self.narrow = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            part(x).unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2) for part in self.projected[:3]
        )
        attended = functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)
        x = self.norms[0](x + self.projected[3](attended))
        found: Tensor = self.norms[1](x + self.narrow(functional.gelu(self.wide(x))))
        return found


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.before, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.norm(self.words(input_ids) + self.places(torch.arange(input_ids.shape[1])))
        mask = attention_mask[:, None, None, :] > 0
        for layer in self.layers:
            x = layer(x, mask)
        found: Tensor = self.last(functional.relu(self.before(x[:, 0])))
        return found


def _encoder() -> onnx.ModelProto:
    torch.manual_seed(0)
    example = torch.ones((2, LONGEST // 2), dtype=torch.int64)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length", max=LONGEST)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "encoder.onnx"
        torch.onnx.export(
            _Encoder().eval(),
            (example, example),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=18,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            verbose=False,
            dynamic_shapes=({0: rows, 1: length}, {0: rows, 1: length}),
        )
        return onnx.load(str(path))
