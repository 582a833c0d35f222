"""The drift detectors that a bundle and the settings ask for."""

from __future__ import annotations

import math

from harmgauge.bundle.load import Bundle
from harmgauge.drift import ks
from harmgauge.drift.feature_mmd import FeatureMmd
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.errors import BundleError, SettingsError
from harmgauge.settings import Settings


def score_ks(bundle: Bundle, settings: Settings) -> ScoreKs:
    """The KS monitor that the bundle asks for, where the settings do not ask otherwise. Raises SettingsError."""
    drift = bundle.manifest.drift
    _check_calibration(bundle)
    try:
        return ScoreKs(
            bundle.reference.scores,
            settings.window_rows or drift.window_rows,
            settings.rows_between_false_alarms or drift.rows_between_false_alarms,
            max_age_seconds=settings.window_seconds,
        )
    except ValueError as error:
        raise SettingsError(
            f"HARMGAUGE_WINDOW_ROWS and HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS do not fit: {error}"
        ) from error


def score_evidence(bundle: Bundle, settings: Settings) -> ScoreEvidence:
    """The sequential alarm. Raises SettingsError."""
    between = settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms
    try:
        return ScoreEvidence(bundle.reference.scores, between, settings.tolerance)
    except ValueError as error:
        raise SettingsError(f"HARMGAUGE_TOLERANCE or HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS: {error}") from error


def feature_mmd(bundle: Bundle, settings: Settings) -> FeatureMmd | None:
    """The second opinion, where the bundle has features and the settings do not turn it off. Raises SettingsError."""
    if bundle.reference.features is None or not settings.feature_mmd:
        return None
    between = settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms
    try:
        return FeatureMmd(bundle.reference.features, settings.feature_window_rows, between)
    except ValueError as error:
        raise SettingsError(
            f"HARMGAUGE_FEATURE_WINDOW_ROWS and HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS do not fit: {error}, "
            "or turn it off with HARMGAUGE_FEATURE_MMD=false"
        ) from error


def _check_calibration(bundle: Bundle) -> None:
    """Raises BundleError where the bundle promises other alarm thresholds than its own drift settings give.

    The statistic's is that of the float32 graph's reference.
    """
    drift, rows = bundle.manifest.drift, len(bundle.reference.scores)
    try:
        p_value = ks.p_value_threshold(drift.window_rows, drift.rows_between_false_alarms)
    except ValueError as error:
        raise BundleError(f"{bundle.path}: drift: {error}") from error
    statistic = ks.statistic_threshold(drift.window_rows, rows, p_value)
    given = (drift.p_value_threshold, drift.statistic_threshold)
    off = bundle.precision == "float32" and abs(given[1] - statistic) > 1 / rows
    if off or not math.isclose(given[0], p_value, rel_tol=1e-6):
        raise BundleError(
            f"{bundle.path}: drift: the thresholds are p <= {given[0]:g} and D >= {given[1]:g}, but window_rows and "
            f"rows_between_false_alarms give {p_value:g} and {statistic:g}: build the bundle again"
        )
