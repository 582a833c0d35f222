"""Random disturbances of normal rows of any kind, for training and judging a second network."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import Pictures
from harmgauge_models.data.random_corruptions import DISTURBANCES, disturb

Tags = npt.NDArray[np.int8]
"""The disturbances that were applied to each row, (n, 2): indices into `families`, -1 for none."""


_BY_NAME = {change.__name__: change for change in DISTURBANCES}


class Disturber(Protocol):
    """`families` are the disturbances by name."""

    families: tuple[str, ...]

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        """Disturb each of the rows `x` (n, *shape) with one or two of these `names` (all if None); returns the rows and
        their tags.
        """
        ...


class ByKind(Disturber, Protocol):
    """A disturber that can also apply each of the `kinds` alone.

    `clean_weight` is the weight of clean rows in a fit of P(wrong), in relation to that of all disturbed ones.
    """

    kinds: tuple[str, ...]
    clean_weight: float

    def alone(self, x: Array, random: np.random.Generator, kind: str, strength: float) -> Array:
        """Disturb all rows of `x` (n, *shape) with one of the `kinds`, at one `strength` above 0 and up to 1."""
        ...


class PictureDisturber:
    """Chains of random corruptions of images, which count as one family here."""

    families: tuple[str, ...] = ("random corruptions",)
    kinds: tuple[str, ...] = tuple(_BY_NAME)
    clean_weight: float = 2.0
    """A head for images scores harmless change like clean images, so that P is too high on clean ones. At 1, it is .017
    too high there for a ResNet-32 on CIFAR-10, and at 2, .012; the error on corrupted images is smaller, too.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        """See `Disturber`."""
        made = self._pictures.from_pixels(disturb(self._pictures.to_pixels(x), random))
        tags = np.full((len(x), 2), -1, np.int8)
        tags[:, 0] = 0
        return made, tags

    def alone(self, x: Array, random: np.random.Generator, kind: str, strength: float) -> Array:
        """See `ByKind`."""
        pixels = self._pictures.to_pixels(x)
        strengths = np.full((len(x), 1, 1, 1), strength, np.float32)
        return self._pictures.from_pixels(np.clip(_BY_NAME[kind](pixels, strengths, random), 0, 1).astype(np.float32))
