"""Texts of `build` as the classifier's token ids, made with `--tokenizer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.served_rows import texts_in
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.lengths import USUAL_MAXIMUM
from harmgauge_models.graphs.run import one_line, open_session

LENGTHS = (512, 384, 256, 192, 128, 96, 64, 48, 32, 16)
"""Lengths that are tried, longest first, if a classifier rejects long rows."""

TRIED_TEXTS = 2


def with_tokens(rows: Rows, tokenizer: Tokenizer) -> Rows:
    """The rows as records of token ids and texts, at the tokenizer's maximum width."""
    return replace(rows, x=tokenizer.records(texts_in(rows.x, str(rows.path))))


def fitted_tokenizer(
    path: Path, classifier: Path, names: Sequence[str], rows: Rows, say: Callable[[str], None]
) -> Tokenizer:
    """The tokenizer in `path`, whose maximum the network in `classifier` accepts, for the texts of `rows`.

    Raises UserError.
    """
    tokenizer = Tokenizer.open(path, names, USUAL_MAXIMUM)
    texts = texts_in(rows.x, str(rows.path))
    session = open_session(classifier)
    some = texts[np.argsort([len(text) for text in texts])[-TRIED_TEXTS:]]
    problem = ""
    for length in (tokenizer.maximum, *(length for length in LENGTHS if length < tokenizer.maximum)):
        feed = records.feeds(tokenizer.records(some, length), session.get_inputs())
        feed = {name: np.resize(values, (len(values), length)) for name, values in feed.items()}
        if "attention_mask" in feed:
            feed["attention_mask"] = np.ones_like(feed["attention_mask"])
        try:
            session.run(None, feed)
        except Exception as error:  # ONNX Runtime's errors share no base class below Exception
            problem = problem or one_line(error)
            continue
        tokenizer = tokenizer.shortened(length)
        cut = tokenizer.truncated(texts)
        say(
            f"texts become up to {length} tokens; {cut} of {len(texts)} calibration texts are longer, and cut off there"
        )
        return tokenizer
    raise UserError(f"the classifier {classifier} accepts no rows of tokens of {path}: {problem}")


def check_padding(classifier: Classifier) -> None:
    """Raise UserError unless the classifier ignores padding: texts have different lengths."""
    fixed = [taken.name for taken in classifier.inputs if None not in taken.shape]
    if fixed:
        raise UserError(
            f"the classifier {classifier.path} gives a text other scores when it is padded ({', '.join(fixed)}): "
            "export it with attention_mask as an input, and with a free axis for the length"
        )
