"""Which disturber fits a classifier's rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.columns import Columns
from harmgauge_models.data.disturber import Disturber, PictureDisturber
from harmgauge_models.data.pictures import image_layout, pictures
from harmgauge_models.data.row_disturbances import RowDisturber, make_pool
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.run import predict

TRIED_ROWS = 8


def disturber_for(classifier: Classifier, spec: InputSpec, x: Array, columns: Columns) -> Disturber:
    """For rows like `x` (n, *shape), such that the classifier can run on what it makes of them.

    Whole numbers beyond those of the data may be ids that an embedding lacks: then they stay within those.
    """
    layout = image_layout(spec.shape)
    if columns.layout == "pictures" and layout is not None:
        return PictureDisturber(pictures(x, spec, layout))
    pool = make_pool(x, columns, missing=spec.missing)
    if pool.whole:
        for bound in pool.bounds:
            extreme = np.full((TRIED_ROWS, *spec.shape), bound).astype(x.dtype)
            try:
                predict(classifier.runnable, extreme, "extreme rows", classifier.network.output)
            except UserError:
                pool = replace(pool, bounds=(float(np.nanmin(pool.rows)), float(np.nanmax(pool.rows))))
                break
    return RowDisturber(pool)
