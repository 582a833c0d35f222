"""Corruptions of rows other than pictures, for judging: by layout and kind of column, five severities, seeded.

They differ from the disturbances that a second network is trained on (`data/row_disturbances`), though some are alike.
"""

from harmgauge_models.data.row_corruptions.catalogue import Corruptions
from harmgauge_models.data.row_corruptions.clean_rows import SEVERITIES

__all__ = ["SEVERITIES", "Corruptions"]
