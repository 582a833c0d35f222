"""Numbers within 0..1: which are probabilities, which are a sigmoid for each label, and which are logits."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.errors import UserError
from harmgauge_models.graphs.normal_form.scores import judge

RANDOM = np.random.default_rng(0)


def test_logits_that_are_next_to_nothing_are_no_sigmoids() -> None:
    found = judge(RANDOM.uniform(0, 1e-6, (50, 3)), None, "the output", "classifier")
    assert found.gives == "logits"


def test_a_sigmoid_for_each_label_is_refused() -> None:
    with pytest.raises(UserError, match="multi-label"):
        judge(RANDOM.uniform(0, 0.2, (50, 3)), None, "the output", "classifier")
