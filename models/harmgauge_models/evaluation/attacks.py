"""Adversarial attacks on a classifier alone, and on classifier and detector together.

Foolbox (Rauber et al. 2017) has both attacks that the literature on adversarial autoencoders reports: Carlini-Wagner
with its binary search, and SLIDE (sparse l1 descent, Tramer and Boneh 2019). The Adversarial Robustness Toolbox
(Nicolae et al. 2018) has two that no head is trained on: APGD and Square. All attacks are untargeted: any wrong class
counts. Sizes are in units of the input's range: 1 is all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from art.attacks.attack import EvasionAttack
from art.attacks.evasion.auto_projected_gradient_descent import AutoProjectedGradientDescent
from art.attacks.evasion.square_attack import SquareAttack
from art.estimators.classification.pytorch import PyTorchClassifier
from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.attacks.sparse_l1_descent_attack import SparseL1DescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn
from tqdm import tqdm

from harmgauge.bundle.rows import Array

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Maps a network from instances in 0..1 to logits, instances (b, *shape) and labels (b,) to attacked instances."""

SLIDE_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True)
class Attacked:
    """`x` (n, *shape) float32 in the instances' own units; `fooled` (n,) bool: whether the classifier is now wrong."""

    x: npt.NDArray[np.float32]
    fooled: npt.NDArray[np.bool_]


def carlini_wagner(*, searches: int = 5, steps: int = 60, step_size: float = 0.01) -> Attack:
    """Find the smallest l2 distance that fools the classifier (Carlini and Wagner 2017), trying `searches` values of
    its constant.
    """
    attack = L2CarliniWagnerAttack(searches, steps, step_size, initial_const=0.1)

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        found = attack.run(model_of(network), x, Misclassification(y))
        missing = (found == 0).flatten(1).all(1)  # Foolbox returns black for rows without a result
        return torch.where(_alongside(missing, x), x, found)

    return run


def slide(sizes: tuple[float, ...] = SLIDE_SIZES, *, quantile: float = 0.8, steps: int = 20) -> Attack:
    """Sparse l1 descent (Tramer and Boneh 2019): each step moves the numbers whose gradient is above the `quantile`.

    Each row keeps the first of the l1 distances `sizes` that fools the classifier.
    """
    attack = SparseL1DescentAttack(quantile=quantile, steps=steps)

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        model = model_of(network)
        found, left = x.clone(), torch.arange(len(x))
        for size in sizes:
            found[left] = attack.run(model, x[left], Misclassification(y[left]), epsilon=size)
            with torch.no_grad():
                left = left[model(found[left]).argmax(1) == y[left]]
            if not len(left):
                break
        return found

    return run


def fast_gradient_sign(size: float = 8 / 255) -> Attack:
    """One step of `size` along the gradient's sign (Goodfellow et al. 2015)."""
    return _of_size(LinfFastGradientAttack(), size)


def projected_gradient_descent(size: float = 8 / 255, *, steps: int = 20) -> Attack:
    """Steps along the gradient's sign within l-infinity distance `size`, from a random start (Madry et al. 2018)."""
    return _of_size(LinfProjectedGradientDescentAttack(steps=steps, rel_stepsize=2.5 / steps), size)


def auto_pgd(size: float = 8 / 255, *, steps: int = 40) -> Attack:
    """Projected gradient descent with momentum and step sizes that adapt (APGD, Croce and Hein 2020), l-infinity."""
    return _by_toolbox(
        lambda network: AutoProjectedGradientDescent(
            network, norm=np.inf, eps=size, eps_step=size / 4, max_iter=steps, nb_random_init=1, verbose=False
        )
    )


def square(size: float = 8 / 255, *, queries: int = 500) -> Attack:
    """Random squares of +-`size`, kept if the margin falls (Andriushchenko et al. 2020): needs no gradients.

    For pictures (height, width, channels) or (channels, height, width).
    """

    def make(network: PyTorchClassifier) -> EvasionAttack:
        # The first square must be smaller than the picture
        share = 0.8 if min(side for side in network.input_shape if side > 3) >= 8 else 0.5
        return SquareAttack(
            network, norm=np.inf, eps=size, max_iter=queries, nb_restarts=1, p_init=share, verbose=False
        )

    return _by_toolbox(make)


ATTACKS: dict[str, Callable[[], Attack]] = {
    "cw": carlini_wagner,
    "slide": slide,
    "fgsm": fast_gradient_sign,
    "pgd": projected_gradient_descent,
    "pgd-2": lambda: projected_gradient_descent(2 / 255),
    "apgd": auto_pgd,
    "square": square,
}
"""The attacks by their names in tables, each with the settings used for harmgauge's measurements."""


def attack(
    way: Attack,
    classifier: nn.Module,
    x: Array,
    y: npt.NDArray[np.int64],
    *,
    bounds: tuple[float, float],
    seed: int = 0,
    batch_rows: int = 50,
    what: str = "attack",
) -> Attacked:
    """Attack `classifier`, from raw real instances (n, *shape) to logits (n, classes), on rows `x` with labels `y`.

    `bounds` are the minimum and maximum that a value may have. Rows that the classifier already gets wrong are not
    changed. Shows progress as `what`.
    """
    torch.manual_seed(seed)
    low, high = bounds
    scaled = Scaled(classifier, low, high).eval()
    parts: list[Tensor] = []
    fooled: list[Tensor] = []
    for start in tqdm(range(0, len(x), batch_rows), desc=what, mininterval=10, leave=False):
        rows = slice(start, start + batch_rows)
        clean = (torch.from_numpy(x[rows]).float() - low) / (high - low)
        labels = torch.from_numpy(y[rows])
        with torch.no_grad():
            wrong = scaled(clean).argmax(1) != labels
        attacked = torch.where(_alongside(wrong, clean), clean, way(scaled, clean, labels).detach())
        with torch.no_grad():
            fooled.append(scaled(attacked).argmax(1) != labels)
        parts.append(attacked * (high - low) + low)
    return Attacked(torch.cat(parts).numpy(), torch.cat(fooled).numpy())


def as_input(attacked: Array, dtype: np.dtype[Any], bounds: tuple[float, float]) -> Array:
    """Attacked instances in an input's dtype: rounded if it holds whole numbers, and within `bounds`."""
    values = np.rint(attacked) if dtype.kind in "iu" else attacked
    return np.clip(values, *bounds).astype(dtype)


def _of_size(attack: BaseGradientDescent, size: float) -> Attack:
    return lambda network, x, y: attack.run(model_of(network), x, Misclassification(y), epsilon=size)


def model_of(network: nn.Module) -> PyTorchModel:
    """Foolbox's form of a network from instances in 0..1 to logits."""
    return PyTorchModel(network, bounds=(0, 1), device="cpu")


def _by_toolbox(make: Callable[[PyTorchClassifier], EvasionAttack]) -> Attack:
    """An attack of the Adversarial Robustness Toolbox, which takes and gives arrays."""

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        state = np.random.get_state()
        np.random.seed(torch.initial_seed() % 2**32)
        with torch.no_grad():
            classes = network(x[:1]).shape[1]
        wrapped = PyTorchClassifier(
            network,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(x.shape[1:]),
            nb_classes=classes,
            clip_values=(0, 1),
            channels_first=x.ndim == 4 and x.shape[1] in (1, 3),
            device_type="cpu",
        )
        found = make(wrapped).generate(x.numpy().astype(np.float32), y=np.eye(classes, dtype=np.float32)[y.numpy()])
        np.random.set_state(state)
        return torch.from_numpy(found)

    return run


def _alongside(rows: Tensor, x: Tensor) -> Tensor:
    """One value for each row (b,), shaped to broadcast against (b, *shape)."""
    return rows.reshape(-1, *[1] * (x.ndim - 1))


class Scaled(nn.Module):
    """Wraps a network to accept instances in 0..1."""

    def __init__(self, network: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self.network, self.low, self.high = network, low, high

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x * (self.high - self.low) + self.low)
        return found
