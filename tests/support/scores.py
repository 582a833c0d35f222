"""Scores distributed like those of clean and of harmful inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from harmgauge_models.evaluation.alarms import Draw

Float64 = np.ndarray[Any, np.dtype[np.float64]]


def clean(random: np.random.Generator, rows: int) -> Float64:
    return np.exp(random.normal(-6, 2, rows))


def harmful(random: np.random.Generator, rows: int) -> Float64:
    return np.exp(random.normal(-0.5, 1, rows))


def contaminated(share: float) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> Float64:
        scores = clean(random, rows)
        bad = random.random(rows) < share
        scores[bad] = harmful(random, int(bad.sum()))
        return scores

    return draw
