"""Attacks a bundle's classifier: `harmgauge_models.attack`."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Rows
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.attacks import (
    ATTACKS,
    as_input,
    auto_pgd,
    fast_gradient_sign,
    projected_gradient_descent,
    square,
)
from harmgauge_models.evaluation.attacks import attack as attack_network
from harmgauge_models.graphs.differentiable import open_classifier

_SIZED = {"fgsm": fast_gradient_sign, "pgd": projected_gradient_descent, "apgd": auto_pgd, "square": square}


def attack(
    name: str, bundle: Bundle, x: Rows, y: npt.NDArray[np.int64], *, size: float | None = None, seed: int = 0
) -> Rows:
    """Copies of the instances `x` (n, *shape), changed until the bundle's classifier is wrong; in the bundle's dtype.

    `name` is "fgsm" (Goodfellow et al. 2015), "pgd" (Madry et al. 2018), "apgd" (Croce and Hein 2020), "square"
    (Andriushchenko et al. 2020), "cw" (Carlini and Wagner 2017) or "slide" (Tramer and Boneh 2019). `y` (n,) holds the
    true classes' indices. The first four change every value by at most `size`, a share of the input's range, by default
    8/255 ("pgd-2": 2/255); the other two search for a small change.

    The attacks do not know the detector. Not every row is fooled; rows that the classifier gets wrong already stay
    unchanged. For whole numbers, such as 8-bit pictures, the result is rounded, which undoes some of the smallest
    changes. Shows progress. Raises ValueError for an unknown name, a size that the attack does not have, and rows that
    do not fit the bundle; UserError if the bundle declares no range of values or its graph has no gradients.
    """
    if name not in ATTACKS:
        raise ValueError(f"unknown attack {name!r}: expected one of {', '.join(ATTACKS)}")
    if size is not None and name not in _SIZED:
        raise ValueError(f"{name} has its own size: leave size out")
    spec = bundle.manifest.input
    if x.dtype != spec.numpy_dtype or x.shape[1:] != spec.shape or y.shape != x.shape[:1] or not len(x):
        raise ValueError(
            f"expected {spec.dtype} x (n, {', '.join(map(str, spec.shape))}) and y (n,), n >= 1, got {x.dtype} "
            f"{x.shape} and {y.shape}"
        )
    if spec.minimum is None or spec.maximum is None:
        raise UserError(f"{bundle.path} declares no range of values, which an attack stays in: build it from such rows")
    way = ATTACKS[name] if size is None else partial(_SIZED[name], size)
    bounds = (spec.minimum, spec.maximum)
    found = attack_network(way(), open_classifier(bundle.graph, x), x, y, bounds=bounds, seed=seed, what=name).x
    return as_input(found, spec.numpy_dtype, bounds)
