"""What disturbs normal rows at random, whatever they are: to train a second network, and to judge it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import Pictures
from harmgauge_models.data.random_corruptions import disturb

Tags = npt.NDArray[np.int8]
"""Which disturbances each row went through, (n, 2): places in `families`, -1 for none."""


class Disturber(Protocol):
    """`families` are the disturbances by name."""

    families: tuple[str, ...]

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        """Rows (n, *shape) like `x`, each disturbed by one or two of these `names` (all if None), and which."""
        ...


class PictureDisturber:
    """Chains of random corruptions, which are one family here."""

    families: tuple[str, ...] = ("random corruptions",)

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        """As the protocol says."""
        made = self._pictures.from_pixels(disturb(self._pictures.to_pixels(x), random))
        tags = np.full((len(x), 2), -1, np.int8)
        tags[:, 0] = 0
        return made, tags
