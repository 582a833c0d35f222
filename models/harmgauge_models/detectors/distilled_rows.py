"""The second network for rows other than images: a head that reads the row and the classifier."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.detectors.base import Folds, SecondNetwork, Task
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.penultimate import MAX_WIDTH, penultimate
from harmgauge_models.graphs.records import run
from harmgauge_models.graphs.run import open_session
from harmgauge_models.graphs.whole_row import whole_row
from harmgauge_models.graphs.word_counts import WORDS

FOLDS = 3
FOLD_EPOCHS_SHARE = 0.5
"""Share of the epochs used for a network that only serves to judge."""

MIN_STEPS, STEPS_BY_ROOT = 60, 2.5
"""Minimum number of batches in an epoch, and batches per square root of the number of rows: 250 for 10,000."""

WIDE_SPARSE, WIDE_ROW = 300, 4096
"""A head that reads more values than these memorises the training rows, and costs more than most classifiers.

Example: on SMS as TF-IDF with 2,000 columns, it ranks wrong above right rows no better than entropy does.
"""


def distil_rows(task: Task, x: Array, soft_labels: npt.NDArray[np.float64], settings: dict[str, Any]) -> SecondNetwork:
    """Train on rows `x` (n, *shape) with the classifier's `soft_labels` (n, classes). Raises UserError."""
    from harmgauge_models.training.distil_rows import Recipe, RowDistillation  # noqa: PLC0415 - needs PyTorch
    from harmgauge_models.training.disturbed_rows import Reader  # noqa: PLC0415

    options, classifier = task.options, task.classifier
    disturber = task.disturber
    features = _features(task, x)
    row, width = _row(task, x, features)
    row_values = row is not None and width <= (WIDE_SPARSE if task.layout in ("sparse", "text") else WIDE_ROW)
    read = [
        *(["the row" if row_values else "how unusual the row is"] if row else []),
        *(["the number of words"] if features == WORDS else []),
        *([f"the classifier's features ({features})"] if features not in (None, WORDS) else []),
        "the classifier's answer",
    ]
    options.say(f"the rows are treated as {_described(task.layout)}; the second network reads {', '.join(read)}")
    recipe = Recipe(seed=options.seed)
    # A few rows are quickly memorised
    steps = min(recipe.steps, max(MIN_STEPS, round(STEPS_BY_ROOT * math.sqrt(len(x)))))
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs, steps=steps)
    made = RowDistillation(
        classifier,
        Reader(classifier, features, row=row, row_values=row_values),
        disturber,
        x,
        soft_labels,
        missing=task.missing and not classifier.network.named,
        recipe=recipe,
        work=options.work,
        settings={**settings, "layout": task.layout, "reads": read},
    )
    network, losses = made.fit()

    @cache
    def left_out() -> Folds:
        epochs = max(1, round(recipe.epochs * FOLD_EPOCHS_SHARE))
        without = _folds(disturber.families)
        return Folds(without, partial(made.log_q, [made.fit(without=part, epochs=epochs)[0] for part in without]))

    return SecondNetwork(
        made.export(network),
        {
            "rows": {"layout": task.layout, "reads": read, "copies": made.copies},
            "resembled_kinds": list(disturber.families),
            **asdict(recipe),
        },
        losses,
        "distillation",
        # At this temperature the cross-entropy is close to -ln P(the predicted class).
        loss="xent",
        temperature=0.1,
        left_out=left_out if len(disturber.families) >= FOLDS else None,
    )


def _folds(families: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Leave out each family once; similar neighbouring families are left out together."""
    cuts = [round(len(families) * index / FOLDS) for index in range(FOLDS + 1)]
    return [families[begin:end] for begin, end in pairwise(cuts)]


def _described(layout: str) -> str:
    return {
        "pictures": "pictures",
        "series": "series",
        "tokens": "ids of words or bytes",
        "sparse": "sparse vectors",
        "table": "rows of a table",
        "text": "text",
    }[layout]


def _row(task: Task, x: Array, features: str | None) -> tuple[str | None, int]:
    """The tensor of the row that the second network reads, and its width; None if it reads none."""
    classifier = task.classifier
    if classifier.network.named:
        found = whole_row(classifier, x)
        return (None, 0) if found is None or found[0] == features else found
    if task.layout == "tokens" and features is not None:
        return None, 0
    return classifier.network.input, math.prod(classifier.shape)


def _features(task: Task, x: Array) -> str | None:
    """The tensor before the classifier's last layer, if it is one vector per row and not the row itself; without one,
    the numbers of words of text inputs.
    """
    classifier, options = task.classifier, task.options
    tensor = options.features if options.features not in (None, "none") else penultimate(classifier.network)
    if tensor is None and any(WORDS in node.output for node in classifier.network.model.graph.node):
        return WORDS
    if tensor is None or tensor in classifier.network.inputs:
        return None
    from harmgauge_models.graphs.hidden_layers import with_outputs  # noqa: PLC0415 - loads PyTorch's converter

    session = open_session(with_outputs(classifier, [tensor]).SerializeToString())
    try:
        (found,) = run(session, [tensor], x[:2])
        alone = run(session, [tensor], x[:1])[0]
    except Exception as error:
        raise UserError(f"cannot compute the classifier's tensor {tensor}: {error}") from error
    if alone.shape[1:] != found.shape[1:]:  # one vector for each token
        return None
    if (
        not classifier.network.named
        and found.size == x[:2].size
        and np.array_equal(found.ravel(), x[:2].ravel().astype(found.dtype), equal_nan=True)
    ):
        return None
    fits = found.ndim >= 2 and len(found) == len(x[:2]) and found.dtype.kind == "f"
    return tensor if fits and math.prod(found.shape[1:]) <= MAX_WIDTH else None
