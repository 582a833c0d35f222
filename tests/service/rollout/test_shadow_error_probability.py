"""A shadow with P(wrong) beside a bundle without it, and vice versa."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmgauge.app import Service
from harmgauge.bundle.load import load as load_bundle
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.seen import alike, seen
from tests.support.switching import run
from tests.support.toy import instances


@pytest.mark.parametrize("served_has_it", [True, False])
def test_only_one_of_the_two_gives_the_error_probability(
    served_has_it: bool, error_probability_bundle_path: Path, image_bundle_path: Path
) -> None:
    pair = [error_probability_bundle_path, image_bundle_path]
    served, shadow = pair if served_has_it else pair[::-1]
    rows = instances(40, (4, 4, 3))
    expected = OnnxRuntime(load_bundle(shadow), "cpu").run(rows)

    async def test(service: Service) -> None:
        await service.switch.load_shadow(shadow)
        for begin in range(0, 40, 5):
            found = await service.switch.current.components.scorer.score(rows[begin : begin + 5])
            assert (found.error_probability is not None) == served_has_it
        await seen(service, 40)
        state = (await service.switch.shadow.states())["score_ks"]
        assert state.scores is not None
        assert alike(np.array(state.scores)[:, None], expected.score[:, None])
        service.switch.promote()
        found = await service.switch.current.components.scorer.score(rows)
        assert (found.error_probability is None) == served_has_it
        if found.error_probability is not None and expected.error_probability is not None:
            np.testing.assert_allclose(found.error_probability, expected.error_probability, atol=1e-6)

    run(test, served)
