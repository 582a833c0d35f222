"""The tolerated harm: the settings of `harm`, and the limits that the bundle's calibration sets for them."""

from __future__ import annotations

import logging

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.errors import SettingsError
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

DROP = 0.02
"""Tolerated drop in accuracy, unless the settings specify another or a floor."""


def check_settings(settings: Settings) -> None:
    """Raises SettingsError if the drop and the floor are both set: only one of them can apply."""
    if settings.accuracy_drop is not None and settings.accuracy_floor is not None:
        raise SettingsError(
            f"HARMGAUGE_ACCURACY_DROP={settings.accuracy_drop:g} and HARMGAUGE_ACCURACY_FLOOR="
            f"{settings.accuracy_floor:g} are both set: unset one of them"
        )


def bound_of(found: ErrorProbability, settings: Settings) -> float:
    """The largest harmless mean of P(wrong). Raises SettingsError if clean traffic may lie above the floor."""
    if settings.accuracy_floor is not None:
        if 1 - settings.accuracy_floor < found.base_upper:
            raise SettingsError(
                f"HARMGAUGE_ACCURACY_FLOOR={settings.accuracy_floor:g} would raise the alarm on clean traffic: its "
                f"estimate of accuracy is {1 - found.base:.4g}, but {found.rows} calibration rows show only that it is "
                f"above {1 - found.base_upper:.4g}: set a floor of at most that, or calibrate with more rows"
            )
        return 1 - settings.accuracy_floor
    drop = DROP if settings.accuracy_drop is None else settings.accuracy_drop
    if found.base_upper - found.base > drop:
        log.warning(
            "the tolerated drop in accuracy is raised from %g to %.4g: the bundle was calibrated on only %d rows, and "
            "clean traffic may be that far below their estimate",
            drop,
            found.base_upper - found.base,
            found.rows,
        )
    return max(found.base + drop, found.base_upper)


def asked_by(settings: Settings) -> str | None:
    """The setting that requests the alarm."""
    if settings.accuracy_floor is not None:
        return "HARMGAUGE_ACCURACY_FLOOR"
    return None if settings.accuracy_drop is None else "HARMGAUGE_ACCURACY_DROP"
