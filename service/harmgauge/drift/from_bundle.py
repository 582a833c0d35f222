"""The list of drift detectors. To add one, write a file with a `from_bundle` and add a line here."""

from __future__ import annotations

from collections.abc import Callable

from harmgauge.bundle.load import Bundle
from harmgauge.drift import feature_mmd, harm, score_evidence, score_ks
from harmgauge.drift.state import DriftDetector
from harmgauge.settings import Settings

Maker = Callable[[Bundle, Settings], DriftDetector | None]
"""Returns None if the bundle or the settings leave the detector out. Raises BundleError or SettingsError."""

DETECTORS: list[Maker] = [
    score_ks.from_bundle,
    score_evidence.from_bundle,
    harm.from_bundle,
    feature_mmd.from_bundle,
]


def build_drift_detectors(bundle: Bundle, settings: Settings) -> list[DriftDetector]:
    """The detectors for a bundle and these settings, in the order in which they are reported.

    Raises BundleError or SettingsError.
    """
    made = (make(bundle, settings) for make in DETECTORS)
    return [detector for detector in made if detector is not None]
