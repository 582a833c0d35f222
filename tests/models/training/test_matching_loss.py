"""The loss of an adversarial autoencoder compared with its formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harmgauge.bundle.rows import Array
from harmgauge_models.graphs.divergence import Gives
from harmgauge_models.training.matching_loss import Matching
from tests.support.formulas import softmax


class Linear(nn.Module):
    """Class scores, then the hidden layer that they come from."""

    def __init__(self, *, softmaxed: bool) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.first = torch.randn(6, 4, generator=random)
        self.second = torch.randn(4, 3, generator=random)
        self.softmaxed = softmaxed

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden = x.float() @ self.first
        scores = hidden @ self.second
        return [scores.softmax(1) if self.softmaxed else scores, hidden]


def divergence(y: Array, y2: Array) -> float:
    return float((y * np.log(y / y2)).sum(1).mean())


@pytest.mark.parametrize(("gives", "softmaxed"), [("logits", False), ("probabilities", True)])
def test_the_loss_is_the_sum_of_its_weighted_terms(gives: Gives, softmaxed: bool) -> None:
    classifier = Linear(softmaxed=softmaxed)
    random = np.random.default_rng(1)
    clean, reconstruction = (random.normal(size=(8, 6)).astype(np.float32) for _ in range(2))
    projection = random.normal(size=(4, 5)).astype(np.float32)
    spread = np.linspace(0.5, 2, 6, dtype=np.float32)
    matching = Matching(
        classifier=classifier,
        gives=gives,
        temperature=0.5,
        spread=torch.from_numpy(spread),
        reconstruction_weight=0.7,
        projections=(torch.from_numpy(projection),),
        weights=(0.3,),
    )
    found = matching(torch.from_numpy(reconstruction), torch.from_numpy(clean))

    hidden, hidden_again = (rows @ classifier.first.numpy().astype(np.float64) for rows in (clean, reconstruction))
    y, y2 = (softmax(np.asarray(layer @ classifier.second.numpy(), np.float64)) for layer in (hidden, hidden_again))
    sharpened = y**2 / (y**2).sum(1, keepdims=True)
    expected = divergence(sharpened, y2)
    expected += 0.7 * float((((reconstruction - clean) / spread) ** 2).mean())
    expected += 0.3 * divergence(
        *(softmax(np.asarray(layer @ projection, np.float64)) for layer in (hidden, hidden_again))
    )
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_reaches_the_reconstruction_and_not_the_targets() -> None:
    projections = (torch.randn(4, 5),)
    matching = Matching(Linear(softmaxed=False), "logits", 0.5, torch.ones(6), 0.0, projections, (1.0,))
    clean = torch.randn(8, 6, requires_grad=True)
    reconstruction = torch.randn(8, 6, requires_grad=True)
    matching(reconstruction, clean).backward()  # type: ignore[no-untyped-call]  # PyTorch's own
    assert clean.grad is None
    assert reconstruction.grad is not None
    assert (reconstruction.grad.abs().sum(1) > 0).all()


def test_a_sure_classifier_and_a_cold_temperature_stay_finite() -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x.float() * 1000]

    matching = Matching(Sure(), "logits", 0.05, torch.ones(3), 0.0)
    reconstruction = torch.eye(3).roll(1, 0).requires_grad_()
    loss = matching(reconstruction, torch.eye(3))
    loss.backward()  # type: ignore[no-untyped-call]  # PyTorch's own
    assert float(loss.detach()) == pytest.approx(1000)
    assert reconstruction.grad is not None
    assert torch.isfinite(reconstruction.grad).all()
