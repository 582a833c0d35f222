"""The loss of an adversarial autoencoder: the classifier should give the same output for reconstruction and input.

Loss = KL(y_T || y(ae(x))) + w_reconstruction MSE + sum_i w_i KL(h_i || h_i'), natural logarithms (Vacanti and Van
Looveren 2020). y_T is the classifier's distribution y at temperature T, y ** (1 / T) renormalised; h_i is the
distribution of hidden layer i's softmax head. All of it is computed from logarithms: y ** (1 / T) underflows, log y / T
does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from harmgauge_models.graphs.divergence import Gives


@dataclass(frozen=True)
class Matching:
    """The loss of a reconstruction (b, *shape) of the clean rows (b, *shape): a scalar.

    `classifier` gives the class scores (b, classes), then each hidden layer (b, ...), whose logits are its values times
    one of `projections`. `spread`, shaped like a row, makes the reconstruction error independent of units.
    """

    classifier: nn.Module
    gives: Gives
    temperature: float
    spread: Tensor
    reconstruction_weight: float
    projections: tuple[Tensor, ...] = ()
    weights: tuple[float, ...] = ()
    bfloat16: bool = False

    def __call__(self, reconstruction: Tensor, clean: Tensor) -> Tensor:
        with torch.no_grad():
            scores, *hidden = self._classify(clean)
        scores_again, *hidden_again = self._classify(reconstruction)
        log_y = functional.log_softmax(log_probabilities(scores, self.gives) / self.temperature, 1)
        loss = divergence(log_y, log_probabilities(scores_again, self.gives))
        if self.reconstruction_weight:
            error = (reconstruction - clean.float()) / self.spread
            loss = loss + self.reconstruction_weight * error.square().mean()
        for projection, weight, before, after in zip(self.projections, self.weights, hidden, hidden_again, strict=True):
            heads = [functional.log_softmax(layer.flatten(1) @ projection, 1) for layer in (before, after)]
            loss = loss + weight * divergence(*heads)
        return loss

    def _classify(self, x: Tensor) -> list[Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs: list[Tensor] = self.classifier(x)
        return [output.float() for output in outputs]


def log_probabilities(scores: Tensor, gives: Gives) -> Tensor:
    """Logarithms of probabilities from class scores (b, classes), which are logits or probabilities."""
    return functional.log_softmax(scores, 1) if gives == "logits" else scores.clamp_min(1e-7).log()


def divergence(log_y: Tensor, log_y2: Tensor) -> Tensor:
    """Mean over the rows of KL(y || y2) in nats, from the logarithms of both (b, classes)."""
    return functional.kl_div(log_y2, log_y, reduction="batchmean", log_target=True)
