"""Builds, calibrations and evaluations on few rows, for tests that are not about what those rows show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harmgauge_models.evaluation.plan import QUICK


def few_copies(folder: Path, copies: int = 8) -> Path:
    """A new folder of work that sets the number of disturbed copies of each training row, whatever the machine."""
    folder.mkdir()
    (folder / "copies.json").write_text(f'{{"copies": {copies}}}')
    return folder


@contextmanager
def few_windows() -> Iterator[None]:
    """`evaluate --quick` judges other detectors on few windows: of the clean ones, one in a hundred alarms, so a
    hundred is the least. The bundle's own detectors get one stream of each kind instead of two.
    """
    with pytest.MonkeyPatch.context() as patch:
        few = dataclasses.replace(QUICK, clean_windows=100, changed_windows=10, streams=1)
        patch.setattr("harmgauge_models.evaluation.evaluate.QUICK", few)
        yield


@contextmanager
def few_judged(rows: int = 1200) -> Iterator[None]:
    """`build` judges a score on about `rows` disturbed rows, instead of 8,000."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harmgauge_models.building.judge.MOST_DISTURBED", rows)
        yield


@contextmanager
def few_fitted(
    rows: int,
    *,
    adjusting: int,
    single: int = 100,
    strengths: tuple[float, ...] = (0.5, 1.0),
    keep_useless: bool = False,
) -> Iterator[None]:
    """P(wrong) is fitted to about `rows` disturbed rows and adjusted on `adjusting`, instead of 20,000 and 12,000.

    Kappa is measured on `single` rows of each kind at each of the `strengths`, instead of 500 at four. With
    `keep_useless`, an estimate that detects next to nothing is kept, as that of a head that was trained for a second.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harmgauge_models.calibration.calibrate.DISTURBED_ROWS", rows)
        patch.setattr("harmgauge_models.calibration.adjusting.DISTURBED_ROWS", adjusting)
        patch.setattr("harmgauge_models.calibration.singles.SET_ROWS", single)
        patch.setattr("harmgauge_models.calibration.singles.STRENGTHS", strengths)
        if keep_useless:
            patch.setattr("harmgauge_models.calibration.calibrate.LEAST_SEEN", -100)
            patch.setattr("harmgauge_models.calibration.calibrate.USELESS", 100)
        yield
