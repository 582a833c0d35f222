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
from harmgauge_models.detectors.base import Fold, SecondNetwork, Task
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.penultimate import MAX_WIDTH, penultimate
from harmgauge_models.graphs.run import open_session

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
    columns, disturber = task.columns, task.disturber
    features = _features(task, x)
    row = columns.layout != "tokens" or features is None
    width = math.prod(classifier.shape)
    row_values = row and width <= (WIDE_SPARSE if columns.layout == "sparse" else WIDE_ROW)
    read = [
        *(["the row" if row_values else "how unusual the row is"] if row else []),
        *([f"the classifier's features ({features})"] if features else []),
        "the classifier's answer",
    ]
    options.say(f"the rows are treated as {_described(columns.layout)}; the second network reads {', '.join(read)}")
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
        missing=task.spec.missing,
        recipe=recipe,
        work=options.work,
        settings={**settings, "layout": columns.layout, "reads": read},
    )
    network, losses = made.fit()

    @cache
    def left_out() -> tuple[Fold, ...]:
        epochs = max(1, round(recipe.epochs * FOLD_EPOCHS_SHARE))
        folds = []
        for families in _folds(disturber.families):
            fold, _ = made.fit(without=families, epochs=epochs)
            folds.append(Fold(families, partial(made.log_q, fold)))
        return tuple(folds)

    return SecondNetwork(
        made.export(network),
        {
            "rows": {"layout": columns.layout, "reads": read, "copies": made.copies},
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
    }[layout]


def _features(task: Task, x: Array) -> str | None:
    """The tensor before the classifier's last layer, if it is one vector per row and not the row itself."""
    classifier, options = task.classifier, task.options
    tensor = options.features if options.features not in (None, "none") else penultimate(classifier.network)
    if tensor is None or tensor == classifier.network.input:
        return None
    from harmgauge_models.graphs.hidden_layers import with_outputs  # noqa: PLC0415 - loads PyTorch's converter

    session = open_session(with_outputs(classifier, [tensor]).SerializeToString())
    try:
        (found,) = session.run([tensor], {classifier.network.input: x[:2]})
    except Exception as error:
        raise UserError(f"cannot compute the classifier's tensor {tensor}: {error}") from error
    if found.size == x[:2].size and np.array_equal(found.ravel(), x[:2].ravel().astype(found.dtype), equal_nan=True):
        return None
    fits = found.ndim >= 2 and len(found) == len(x[:2]) and found.dtype.kind == "f"
    return tensor if fits and math.prod(found.shape[1:]) <= MAX_WIDTH else None
