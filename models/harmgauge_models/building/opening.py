"""Reads and checks all inputs of `build`, so that errors are found before the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.reference import MIN_REFERENCE_ROWS
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec, Served, described
from harmgauge_models.building.images import Images
from harmgauge_models.building.texts import check_padding, fitted_tokenizer, with_tokens
from harmgauge_models.building.write import class_names_for
from harmgauge_models.data import labels
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.record_disturbers import is_free_text
from harmgauge_models.data.record_inputs import with_values
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier, check_finite, open_classifier
from harmgauge_models.graphs.fuse import input_names
from harmgauge_models.graphs.inputs import missing_at
from harmgauge_models.graphs.run import predict
from harmgauge_models.graphs.trial import try_fusing
from harmgauge_models.graphs.word_counts import with_word_counts
from harmgauge_models.options import Options

FEW_REFERENCE_ROWS = 500


@dataclass(frozen=True)
class Opened:
    """The classifier, and rows in its input form, with labels that are indices of its classes (the labels of `train`
    may be strings).

    `spec` is the service's input; None for a classifier of named inputs, whose texts `tokenizer` converts to ids.
    """

    classifier: Classifier
    calibration: Rows
    train: Rows | None
    spec: InputSpec | None
    class_names: tuple[str, ...]
    tokenizer: Tokenizer | None = None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The graph's inputs for the manifest."""
        return self.classifier.inputs if self.spec is None else (described(self.spec),)

    @property
    def served(self) -> Served:
        """The service's inputs."""
        return NamedInputs(inputs=self.inputs) if self.spec is None else self.spec


def open_all(options: Options) -> Opened:
    """Read the rows and the classifier. Raises UserError."""
    names = input_names(options.classifier)
    images = Images.of(options)
    calibration = images.read(options.calibration, "calibration", MIN_REFERENCE_ROWS, names)
    train = None if options.train is None else images.read(options.train, "training", 2, names)
    if len(calibration.x) < FEW_REFERENCE_ROWS:
        options.say(f"warning: only {len(calibration.x)} calibration rows; 5000 make a good reference")
    tokenizer = None
    if options.tokenizer is not None:
        tokenizer = fitted_tokenizer(options.tokenizer, options.classifier, names, calibration, options.say)
        calibration = with_tokens(calibration, tokenizer)
        train = None if train is None else with_tokens(train, tokenizer)
    elif train is not None:
        _check_columns(calibration, train)
    classifier = open_classifier(
        options.classifier,
        calibration.x,
        "classifier",
        options.classifier_output,
        options.classifier_gives,
        pixels=images.in_graph(calibration.x),
    )
    how = "as set" if options.classifier_gives else "detected on the calibration data; --classifier-gives overrides it"
    options.say(f"the classifier outputs {classifier.network.gives} for {classifier.classes} classes ({how})")
    for note in classifier.notes:
        options.say(note)
    if tokenizer is not None:
        check_padding(classifier)
    calibration = replace(calibration, x=classifier.fit(calibration.x, str(calibration.path)))
    train = None if train is None else replace(train, x=classifier.fit(train.x, str(train.path)))
    every = [rows for rows in (calibration, train) if rows is not None]
    if train is not None:
        _check_missing(classifier, train)
        try_fusing(classifier, calibration.x)
    spec = None
    if classifier.network.named:
        most = None if tokenizer is None else tokenizer.maximum
        classifier = replace(classifier, inputs=with_values(classifier.inputs, [rows.x for rows in every], most))
        classifier = with_word_counts(classifier, [taken.name for taken in classifier.inputs if is_free_text(taken)])
    else:
        spec = _spec(images, classifier, calibration, missing=any(rows.missing for rows in every))
    given = options.class_names and class_names_for(options.class_names, classifier.classes)
    known = labels.class_names(given, classifier.labels, every, classifier.classes)
    calibration = labels.numbered(calibration, known, classifier.classes)
    return Opened(classifier, calibration, train, spec, class_names_for(known or (), classifier.classes), tokenizer)


def _spec(images: Images, classifier: Classifier, calibration: Rows, *, missing: bool) -> InputSpec:
    found = images.spec(calibration.x, classifier.dtype)
    return found.model_copy(update={"missing": missing, "columns": classifier.inputs[0].columns})


def _check_columns(calibration: Rows, train: Rows) -> None:
    """Raises UserError if two tables have the same columns in a different order."""
    orders: list[Sequence[str]] = [rows.x.dtype.names or () for rows in (calibration, train)]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        one, other = next((one, other) for one, other in zip(*orders, strict=True) if one != other)
        raise UserError(
            f"{calibration.path} and {train.path} have the same columns in a different order ({one!r} against "
            f"{other!r}): save both in the order in which the classifier takes them"
        )


def _check_missing(classifier: Classifier, train: Rows) -> None:
    """Raises UserError if the training rows have missing values that the classifier does not accept."""
    x: Array = train.x
    if not train.missing:
        return
    numbers = np.flatnonzero(missing_at(x))
    scores = predict(classifier.runnable, x[numbers], "training rows with missing values", classifier.network.output)
    check_finite(scores, x[numbers], f"the classifier {classifier.path}", numbers=numbers, of=train.path.name)
