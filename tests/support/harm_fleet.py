"""The counters of accuracy and harm that the replicas of a fleet export, minute by minute."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.scenario import Life, Series

STAKES = ("0.02", "0.05", "0.1", "0.2", "0.4", "0.7")

Values = Sequence[float | None]
"""One value for each minute; None if the scrape failed or nothing ran."""


def judged(
    instance: str,
    rows: int,
    errors: float,
    variance: float,
    *,
    kappa: float = 0.05,
    base: float = 0.93,
    life: Life = range(31),
    **labels: str,
) -> Series:
    """A replica that scores `rows` rows per minute, whose error probabilities P sum to `errors`, and P (1 - P) to
    `variance`.

    Its bundle has this `kappa`, and the accuracy `base` at calibration.
    """
    series: Series = {}
    for name, each_minute in {"rows_": rows, "": errors, "variance_": variance}.items():
        values = [None if minutes is None else each_minute * minutes for minutes in life]
        series |= exported(f"harmgauge_expected_errors_{name}total", instance, values, **labels)
    for name, value in {"kappa": kappa, "base": base}.items():
        values = [None if minutes is None else value for minutes in life]
        series |= exported(f"harmgauge_accuracy_{name}", instance, values, **labels)
    return series


def betting(
    instance: str,
    gains: Values,
    losses: Values,
    rows: Sequence[float],
    *,
    stake: str = "0.1",
    resets: Sequence[int] | None = None,
    rows_between_false_alarms: float = 1_000_000,
    detected: Sequence[int] | None = None,
    **labels: str,
) -> Series:
    """A replica with the given counters of one stake's log gains and losses and of its `rows`, up for as many minutes
    as it has gains.

    `resets` counts acknowledgements, `detected` is its own alarm.
    """
    up = [None if gain is None else 1.0 for gain in gains]
    assert len(rows) == len(gains)

    def while_up(values: Sequence[float]) -> Values:
        return [None if one is None else value for value, one in zip(values, up, strict=True)]

    never = [0] * len(gains)
    series = exported("harmgauge_harm_log_gain_total", instance, gains, stake=stake, **labels)
    series |= exported("harmgauge_harm_log_loss_total", instance, losses, stake=stake, **labels)
    series |= exported("harmgauge_expected_errors_rows_total", instance, while_up(rows), **labels)
    series |= exported("harmgauge_drift_resets_total", instance, while_up(resets or never), **labels)
    series |= exported("harmgauge_bundle_info", instance, up, sha256="x", **labels)
    of_harm = {"detector": "harm"} | labels
    series |= exported("harmgauge_drift_detected", instance, while_up(detected or never), **of_harm)
    limits = while_up([rows_between_false_alarms] * len(gains))
    return series | exported("harmgauge_drift_statistic_threshold", instance, limits, **of_harm)


def exported(metric: str, instance: str, values: Values, **labels: str) -> Series:
    """One series of a replica, with these values."""
    own = {"job": "harmgauge", "instance": instance, "model": "m"} | labels
    name = metric + "{" + ", ".join(f'{label}="{value}"' for label, value in own.items()) + "}"
    return {name: " ".join("stale" if value is None else repr(float(value)) for value in values)}
