"""The loss of a head: the classifier's answer for the undisturbed picture, and equal scores for unharmed pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MOST_LOGIT = 16.0
"""Logits of q beyond +-16 are rounding errors of float32."""


@dataclass(frozen=True)
class HarmLoss:
    """Sum of four parts, for outputs (n, classes + 1) of a FeatureHead in training and `targets` (n, classes + 2).

    Targets are the classifier's distribution for the undisturbed pictures (classes), the class that it names for the
    pictures as given, and 1 for clean pictures, else 0. q is the second network's probability of the named class.

    1. Cross-entropy to the distribution.
    2. `named` x cross-entropy of q against "the class named is the one of the undisturbed picture".
    3. `changed` x the same for the last column.
    4. `invariance` x mean |sorted a - sorted b| / sd(b): a are logits of q of disturbed pictures whose answer has not
       changed, b those of clean ones. It makes scores of harmless change look like clean ones to any test of two
       samples.
    """

    classes: int
    named: float
    changed: float
    invariance: float

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted, named = targets[:, : self.classes], targets[:, self.classes].long()
        clean = targets[:, self.classes + 1] > 0
        logits = outputs[:, : self.classes]
        same = named == wanted.argmax(1)
        q = logit_of(logits, named)
        loss = functional.cross_entropy(logits, wanted)
        loss = loss + self.named * functional.binary_cross_entropy_with_logits(q, same.float())
        loss = loss + self.changed * functional.binary_cross_entropy_with_logits(
            outputs[:, self.classes], (~same).float()
        )
        unharmed, usual = q[same & ~clean], q[clean]
        if self.invariance and len(unharmed) > 1 and len(usual) > 1:
            loss = loss + self.invariance * difference(unharmed, usual)
        return loss


def logit_of(logits: Tensor, named: Tensor) -> Tensor:
    """The logit of the probability of class `named` (n,), bounded, for `logits` (n, classes)."""
    of_named = logits.gather(1, named[:, None])[:, 0]
    others = logits.scatter(1, named[:, None], -torch.inf).logsumexp(1)
    return (of_named - others).clamp(-MOST_LOGIT, MOST_LOGIT)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """The mean distance between equal quantiles of `a` (n,) and `b` (m,), in standard deviations of `b`.

    The Wasserstein-1 distance, up to the interpolation of the smaller sample's quantiles.
    """
    at = (torch.arange(len(a), dtype=a.dtype, device=a.device) + 0.5) / len(a)
    expected = torch.quantile(b, at)
    return (a.sort().values - expected).abs().mean() / b.detach().std().clamp(min=1e-3)
