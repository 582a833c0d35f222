"""Corruptions that judge bundles for rows other than images: chosen by layout and column kind, in five severities,
seeded.

They differ from the disturbances that a second network is trained on (`data/row_disturbances`), though some are
similar.
"""

from harmgauge_models.data.row_corruptions.catalogue import Corruptions
from harmgauge_models.data.row_corruptions.clean_rows import SEVERITIES

__all__ = ["SEVERITIES", "Corruptions"]
