"""A white-box attack that fools the classifier and at the same time keeps the detector's score low."""

from __future__ import annotations

from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as AnyTensor
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.base import Model
from torch import Tensor, nn

from harmgauge_models.evaluation.attacks import Attack, Scaled, model_of

MARGIN = 2.0
"""Margin in nats by which the wrong class should lead: a larger one would raise the score."""


def on_both(
    score: nn.Module, *, bounds: tuple[float, float], size: float = 8 / 255, weight: float = 1.0, steps: int = 40
) -> Attack:
    """Projected gradient descent within l-infinity distance `size` of the range `bounds`, on both together.

    It maximises min(best wrong log-probability - the true one's, MARGIN) - weight x score; `score` is a module from raw
    real instances (n, *shape) to (n,). Pass it to `attack` together with the classifier of the same detector.
    """
    scaled = Scaled(score, *bounds).eval()

    class OnBoth(LinfProjectedGradientDescentAttack):
        def get_loss_fn(self, model: Model, labels: AnyTensor) -> _Loss:
            return _Loss(model, labels.raw, scaled, weight)

    attack = OnBoth(steps=steps, rel_stepsize=2.5 / steps)

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = attack.run(model_of(network), x, Misclassification(y), epsilon=size)
        return found

    return run


class _Loss:
    def __init__(self, model: Model, labels: Tensor, score: nn.Module, weight: float) -> None:
        self._model, self._labels, self._score, self._weight = model, labels, score, weight

    def __call__(self, inputs: AnyTensor) -> AnyTensor:
        x: Tensor = inputs.raw
        logs: Tensor = self._model(x).log_softmax(1)
        true = logs.gather(1, self._labels[:, None])[:, 0]
        wrong = logs.scatter(1, self._labels[:, None], -float("inf")).amax(1)
        gain = (wrong - true).clamp(max=MARGIN) - self._weight * self._score(x)
        total: AnyTensor = astensor(gain.sum())
        return total
