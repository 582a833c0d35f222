"""The kinds of second network. A new one is a file here and a line below."""

from harmgauge_models.detectors import adversarial_autoencoder as adversarial_autoencoder
from harmgauge_models.detectors import distillation as distillation
from harmgauge_models.detectors.base import Make, SecondNetwork, Task, make, register

__all__ = ["Make", "SecondNetwork", "Task", "make", "register"]
