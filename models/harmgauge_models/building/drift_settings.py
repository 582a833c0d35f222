"""The drift settings of a bundle, from the options of `build`."""

from __future__ import annotations

from collections.abc import Callable

from harmgauge.bundle.manifest import DriftSpec
from harmgauge.drift import ks
from harmgauge_models.errors import UserError
from harmgauge_models.options import Options


def drift_settings(options: Options) -> Callable[[int], DriftSpec]:
    """The drift settings, as a function of the number of reference rows: invalid options are rejected before the
    training.
    """
    rows, between = options.window_rows, options.rows_between_false_alarms
    if rows < 2:
        raise UserError(f"--window-rows {rows}: expected at least 2")
    try:
        p_value = ks.p_value_threshold(rows, between)
    except ValueError as error:
        raise UserError(f"--window-rows and --rows-between-false-alarms do not fit together: {error}") from error

    def spec(reference_rows: int) -> DriftSpec:
        statistic = ks.statistic_threshold(rows, reference_rows, p_value)
        if statistic > 1:
            raise UserError(f"--window-rows {rows}: a window this small can never reach p <= {p_value:.2g}")
        return DriftSpec(
            window_rows=rows,
            rows_between_false_alarms=between,
            p_value_threshold=p_value,
            statistic_threshold=statistic,
        )

    return spec
