"""Real images from the shipped bundle, clean and corrupted."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array, Rows
from harmgauge.bundle.samples import Samples, read_samples
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import RunningService

GAUGED = SHIPPED_BUNDLE.with_name("3")
"""The CIFAR-10 bundle that estimates its accuracy."""

PLAIN = SHIPPED_BUNDLE.with_name("2")
"""The same networks without an accuracy estimate."""


@cache
def samples() -> Samples[Array]:
    return read_samples(load(SHIPPED_BUNDLE))


def score_some(service: RunningService, images: Rows, rows: int, seed: int = 0) -> None:
    """Score this many random images, one per request."""
    for index in np.random.default_rng(seed).integers(0, len(images), rows):
        service.score(images[index])


def png(image: Rows) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
