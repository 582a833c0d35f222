"""How much an evaluation measures."""

from __future__ import annotations

from dataclasses import dataclass

from harmgauge_models.data.corruptions import CORRUPTIONS, SEVERITIES
from harmgauge_models.evaluation.attack_names import ATTACKS, WHITE_BOX

SHARES = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Contaminated shares of a batch."""

BATCHES = 100
"""Number of batches in the contamination table, for each severity and share."""

DELAY_SEVERITY = 3
ROWS_BETWEEN_FALSE_ALARMS = 100_000


@dataclass(frozen=True)
class Plan:
    """The amounts of an evaluation.

    `kinds` are for images; other rows get each suitable kind, or every second or third. `batches` are for the
    contamination table; `delay_shares`, `streams` and `most_rows` (the cut-off) for the delays; `cause_streams` and
    `most_cause_rows` for those until the cause is named. The thresholds of other detectors come from `clean_windows`,
    their power from `changed_windows`. For the alarm on harm, `harm_streams` streams of `harm_stream_rows` rows are
    drawn from each set; `attacks` are run on the first `attacked_pictures` images.
    """

    kinds: tuple[str, ...] = tuple(CORRUPTIONS)
    every_row_kind: int = 1
    severities: tuple[int, ...] = SEVERITIES
    most_pictures: int | None = None
    most_corrupted_rows: int = 2000
    most_timed_rows: int = 100_000
    batches: int = BATCHES
    delay_shares: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5)
    streams: int = 20
    most_rows: int = 20_000
    clean_windows: int = 4000
    changed_windows: int = 500
    cause_streams: int = 10
    most_cause_rows: int = 2000
    harm_streams: int = 16
    harm_stream_rows: int = 5000
    attacks: tuple[str, ...] = tuple(ATTACKS)
    attacked_pictures: int = 1000


FULL = Plan()
QUICK = Plan(
    kinds=("gaussian_noise", "motion_blur", "brightness"),
    every_row_kind=3,
    severities=(DELAY_SEVERITY, 5),
    most_pictures=600,
    most_corrupted_rows=600,
    most_timed_rows=5000,
    batches=10,
    delay_shares=(0.1, 0.5),
    streams=2,
    most_rows=2000,
    clean_windows=200,
    changed_windows=25,
    cause_streams=2,
    most_cause_rows=500,
    harm_streams=4,
    harm_stream_rows=1000,
    attacks=("fgsm", WHITE_BOX),
    attacked_pictures=50,
)
