"""The loss of a head: each part against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch.nn import functional

from harmgauge_models.training.harm_loss import MOST_LOGIT, HarmLoss, difference, logit_of

CLASSES = 4


def targets(wanted: torch.Tensor, named: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    return torch.cat([wanted, named[:, None].float(), clean[:, None].float()], 1)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs, the distributions of undisturbed pictures, the classes named, which of the pictures are clean."""
    generator = torch.Generator().manual_seed(0)
    outputs = 3 * torch.randn(60, CLASSES + 1, generator=generator)
    wanted = torch.randn(60, CLASSES, generator=generator).softmax(1)
    named = torch.where(torch.arange(60) < 20, (wanted.argmax(1) + 1) % CLASSES, wanted.argmax(1))
    return outputs, wanted, named, torch.arange(60) >= 45


def test_its_parts_add_up(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    outputs, wanted, named, clean = batch
    logits = outputs[:, :CLASSES]
    q = logits.softmax(1).gather(1, named[:, None])[:, 0]
    same = (torch.arange(60) >= 20).float()
    first = functional.cross_entropy(logits, wanted)
    second = -(same * q.log() + (1 - same) * (1 - q).log()).mean()
    third = functional.binary_cross_entropy_with_logits(outputs[:, CLASSES], 1 - same)
    z = (q.log() - (1 - q).log()).numpy()
    # As many unharmed as clean rows: quantiles need no interpolation
    last = np.abs(np.sort(z[20:45]) - np.quantile(z[45:], (np.arange(25) + 0.5) / 25)).mean() / z[45:].std(ddof=1)
    for weights in ((0, 0, 0), (0.5, 0, 0), (0, 0.25, 0), (0, 0, 0.1), (0.5, 0.25, 0.1)):
        found = HarmLoss(CLASSES, *weights)(outputs, targets(wanted, named, clean))
        expected = first + weights[0] * second + weights[1] * third + weights[2] * last
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_without_clean_or_unharmed_pictures_has_no_difference(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    outputs, wanted, named, clean = batch
    loss, plain = HarmLoss(CLASSES, 0.5, 0.25, 1.0), HarmLoss(CLASSES, 0.5, 0.25, 0.0)
    for rows in (slice(0, 45), slice(0, 20), slice(45, 60)):
        given = outputs[rows], targets(wanted, named, clean)[rows]
        assert float(loss(*given)) == float(plain(*given))


@given(st.integers(2, 30), st.integers(0, 1000))
def test_the_difference_is_the_wasserstein_distance_in_standard_deviations(rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(1, 2, rows), random.normal(0, 1, 4000)
    found = float(difference(torch.from_numpy(a), torch.from_numpy(b)))
    # Against so large a sample a step function and its midpoints differ by little
    assert found == pytest.approx(wasserstein_distance(a, b) / b.std(ddof=1), abs=1.0 / rows)
    assert float(difference(torch.from_numpy(b), torch.from_numpy(b))) < 1e-3


def test_certain_answers_have_bounded_logits_and_finite_slopes() -> None:
    outputs = torch.tensor([[200.0, 0, 0, 0, 0], [-200.0, 200, 0, 0, 0]], requires_grad=True)
    named = torch.zeros(2, dtype=torch.long)
    assert logit_of(outputs[:, :CLASSES], named).tolist() == [MOST_LOGIT, -MOST_LOGIT]
    wanted = torch.eye(CLASSES)[:2]
    loss = HarmLoss(CLASSES, 0.5, 0.25, 0.1)(outputs, targets(wanted, named, torch.tensor([True, False])))
    loss.backward()  # type: ignore[no-untyped-call]  # PyTorch's own
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()
