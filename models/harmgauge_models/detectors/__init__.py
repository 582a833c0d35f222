"""The kinds of second network. To add one, write a file here and add a line below."""

from harmgauge_models.detectors import adversarial_autoencoder as adversarial_autoencoder
from harmgauge_models.detectors import distillation as distillation
from harmgauge_models.detectors import entropy as entropy
from harmgauge_models.detectors.base import Check, Make, SecondNetwork, Task, find, register

__all__ = ["Check", "Make", "SecondNetwork", "Task", "find", "register"]
