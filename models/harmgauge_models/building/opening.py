"""Reads and checks all inputs of `build`, so that errors are found before the training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harmgauge.bundle.reference import MIN_REFERENCE_ROWS
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.building.write import class_names_for
from harmgauge_models.data import labels, npz_rows
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.pictures import input_spec
from harmgauge_models.graphs.classifier import Classifier, check_finite, fit_rows, open_classifier
from harmgauge_models.graphs.run import predict
from harmgauge_models.graphs.trial import try_fusing
from harmgauge_models.options import Options

FEW_REFERENCE_ROWS = 500


@dataclass(frozen=True)
class Opened:
    """The classifier, and rows in its input dtype, with labels that are indices of its classes (the labels of `train`
    may be strings).

    `spec` is the service's input.
    """

    classifier: Classifier
    calibration: Rows
    train: Rows | None
    spec: InputSpec
    class_names: tuple[str, ...]


def open_all(options: Options) -> Opened:
    """Read the rows and the classifier. Raises UserError."""
    calibration = npz_rows.read(options.calibration, "calibration", MIN_REFERENCE_ROWS)
    train = None if options.train is None else npz_rows.read(options.train, "training", 2)
    if len(calibration.x) < FEW_REFERENCE_ROWS:
        options.say(f"warning: only {len(calibration.x)} calibration rows; 5000 make a good reference")
    classifier = open_classifier(
        options.classifier, calibration.x, "classifier", options.classifier_output, options.classifier_gives
    )
    how = "as set" if options.classifier_gives else "detected on the calibration data; --classifier-gives overrides it"
    options.say(f"the classifier outputs {classifier.network.gives} for {classifier.classes} classes ({how})")
    for note in classifier.notes:
        options.say(note)
    fitted = [
        None if rows is None else replace(rows, x=fit_rows(rows.x, classifier.dtype, classifier.shape, str(rows.path)))
        for rows in (calibration, train)
    ]
    calibration, train = fitted[0] or calibration, fitted[1]
    if train is not None:
        _check_missing(classifier, train)
        try_fusing(classifier, calibration.x)
    given = options.class_names and class_names_for(options.class_names, classifier.classes)
    known = labels.class_names(given, classifier.labels, [rows for rows in fitted if rows], classifier.classes)
    calibration = labels.numbered(calibration, known, classifier.classes)
    missing = any(rows is not None and rows.missing for rows in (calibration, train))
    spec = input_spec(calibration.x, classifier.dtype).model_copy(update={"missing": missing})
    return Opened(classifier, calibration, train, spec, class_names_for(known or (), classifier.classes))


def _check_missing(classifier: Classifier, train: Rows) -> None:
    """Raises UserError if the training rows have missing values that the classifier does not accept."""
    x: Array = train.x
    if not train.missing:
        return
    numbers = np.flatnonzero(np.isnan(x.reshape(len(x), -1)).any(1))
    scores = predict(classifier.runnable, x[numbers], "training rows with missing values", classifier.network.output)
    check_finite(scores, x[numbers], f"the classifier {classifier.path}", numbers=numbers, of=train.path.name)
