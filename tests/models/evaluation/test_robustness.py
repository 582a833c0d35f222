"""Shares compared with counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harmgauge_models.evaluation.robustness import judge
from harmgauge_models.graphs.differentiable import Watched


class Column(nn.Module):
    """A column of the instance: a class if `one_hot`, else a score."""

    def __init__(self, index: int, *, one_hot: bool) -> None:
        super().__init__()
        self.index, self.one_hot = index, one_hot

    def forward(self, x: Tensor) -> Tensor:
        column = x[:, self.index]
        return nn.functional.one_hot(column.long(), 3).float() if self.one_hot else column.float()


def test_shares_are_counted() -> None:
    watched = Watched(Column(0, one_hot=True), Column(1, one_hot=True), Column(2, one_hot=False))
    # classifier's class, second network's class, score
    attacked = np.array([[1, 0, 9], [1, 0, 1], [1, 2, 9], [0, 2, 9], [0, 0, 0]], np.float32)
    clean = np.array([[0, 0, 0], [0, 0, 1]], np.float32)
    found = judge(watched, 5.0, clean, attacked, np.zeros(5, np.int64))
    assert found.rows == 5
    assert found.flagged == pytest.approx(0.6)
    assert found.accuracy == pytest.approx(0.4)
    assert found.defense_accuracy == pytest.approx(0.6)
    assert found.corrected_accuracy == pytest.approx(0.4), "rows 0 and 4: row 3 was right until it was corrected"
    assert found.roc_auc == pytest.approx((3 * 2 + 1.5 + 0.5) / 10)
    assert torch.is_grad_enabled()
