"""Corruptions of rows that are not pictures, for judging: by layout and kind of column, five severities, seeded.

They are not those that a second network is trained on (`data/row_disturbances.py`), though some are alike.
"""

from harmgauge_models.data.row_corruptions.catalogue import Corruptions
from harmgauge_models.data.row_corruptions.clean_rows import SEVERITIES

__all__ = ["SEVERITIES", "Corruptions"]
