"""Random disturbances of images for training: general kinds in chains, at every strength.

After the idea of PRIME (Modas et al. 2022) and AugMix (Hendrycks et al. 2020): a few wide families (noise, filters,
colour, veils, occlusion, movement) prepare better for future corruptions than any list of them does.
"""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.random_corruptions.appearance import (
    coarsen,
    colour,
    echo,
    invert,
    levels,
    noise,
    pattern,
    posterise,
    recode,
    smear,
    streaks,
    unevenness,
    veil,
)
from harmgauge_models.data.random_corruptions.arrangement import mirror, move, occlude, resize, shuffle, tiles, turn
from harmgauge_models.data.random_corruptions.shared import Disturbance, Pixels

MOST_LINKS = 3
LINKS_SHARES = (0.55, 0.3, 0.15)
"""Shares of chains with one, two and three disturbances."""

RESEMBLED = (
    "gaussian_noise",
    "gaussian_blur",
    "glass_blur",
    "brightness",
    "contrast",
    "saturate",
    "pixelate",
    "jpeg_compression",
)
"""Kinds of CIFAR-10-C that resemble one of the disturbances; a detector's quality is judged on the others."""


def disturb(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Disturb each image with its own random chain; values stay within 0..1."""
    made = pixels.copy()
    shares = np.array(list(DISTURBANCES.values())) / sum(DISTURBANCES.values())
    links = 1 + random.choice(MOST_LINKS, len(pixels), p=LINKS_SHARES)
    for link in range(MOST_LINKS):
        chosen = np.where(links > link, random.choice(len(DISTURBANCES), len(pixels), p=shares), -1)
        for index, change in enumerate(DISTURBANCES):
            rows = np.flatnonzero(chosen == index)
            if len(rows):
                # Longer chains have weaker links, so that they do no more harm than one
                strengths = random.random((len(rows), 1, 1, 1), np.float32) / links[rows, None, None, None] ** 0.5
                made[rows] = np.clip(change(made[rows], strengths.astype(np.float32), random), 0, 1)
    return made


DISTURBANCES: dict[Disturbance, float] = {
    noise: 3,
    smear: 3,
    echo: 1,
    levels: 2.5,
    colour: 1.25,
    posterise: 1,
    veil: 1.5,
    unevenness: 1.5,
    occlude: 1.5,
    move: 1,
    shuffle: 1,
    coarsen: 1,
    recode: 3,
    pattern: 1,
    streaks: 1,
    turn: 3.5,
    resize: 1.25,
    mirror: 2,
    invert: 1.5,
    tiles: 0.75,
}
"""Relative frequency of each disturbance."""
