"""Image corruptions modelled on the benchmark CIFAR-10-C (Hendrycks and Dietterich 2019), with its parameters.

They are reimplemented from the published parameters: offline, seeded, for images of any size (the parameters are in
pixels, chosen for 32 x 32). Only frost differs from the published kind, in its pictures of ice.
"""

from harmgauge_models.data.corruptions.catalogue import CORRUPTIONS, Corruption, corrupt, corrupt_in_turn
from harmgauge_models.data.corruptions.pixels import SEVERITIES, Images

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corruption", "Images", "corrupt", "corrupt_in_turn"]
