"""Delays by share and group: shorter with more changed traffic, and no alarm without a change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.load import Bundle
from harmgauge_models.evaluation import delays as delaying
from harmgauge_models.evaluation.alarms import Draw
from harmgauge_models.evaluation.delays import Group, delays
from harmgauge_models.evaluation.plan import QUICK
from harmgauge_models.evaluation.work import Work

PLAN = replace(QUICK, streams=3, most_rows=4000, delay_shares=(0.1, 0.3, 0.9))


@pytest.fixture
def clean(image_bundle: Bundle) -> Group:
    """Many rows from the reference's distribution."""
    random = np.random.default_rng(0)
    reference = image_bundle.reference
    assert reference.features is not None
    shape = (3000, reference.features.shape[1])
    features = random.choice(reference.features, 3000) + random.normal(0, 1e-3, shape)
    return Group(random.choice(reference.scores, 3000), features.astype(np.float32))


def test_more_changed_traffic_is_seen_sooner_and_no_change_never(
    image_bundle: Bundle, clean: Group, tmp_path: Path
) -> None:
    assert clean.features is not None
    changed = Group(clean.scores + clean.scores.max(), clean.features + 3 * clean.features.std())
    empty = Group(clean.scores[:0], clean.features[:0])
    groups = {"harmful": changed, "harmless": clean, "empty": empty}
    found = delays(image_bundle, clean, groups, PLAN, Work(tmp_path), seed=0, rate=100_000)
    assert list(found) == ["score_evidence", "score_ks", "feature_mmd"]
    for detector in ("score_evidence", "score_ks"):
        harmful = found[detector]["harmful"]
        rows = [harmful[share]["mean_rows"] for share in ("0.1", "0.3", "0.9")]
        assert rows == sorted(rows, reverse=True)
        assert len(set(rows)) == 3
        assert all(harmful[share]["alarms"] == 3 for share in ("0.3", "0.9"))
        assert "empty" not in found[detector]
        for entry in (found[detector]["none"]["0"], *found[detector]["harmless"].values()):
            assert entry == {"mean_rows": 4000, "alarms": 0}
    assert found["feature_mmd"]["harmful"]["0.9"] == {"mean_rows": 500, "alarms": 3}
    assert found["score_evidence"]["harmful"]["0.9"]["mean_rows"] < 50


def test_no_row_comes_twice_in_a_window_of_features(
    image_bundle: Bundle, clean: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With replacement, repeated rows of a small group would look different to the kernel and cause a false alarm."""

    def rows_that_differ(_: object, draw: Draw, *, window_rows: int, seed: int, **__: object) -> int:
        return len(np.unique(draw(np.random.default_rng(seed), window_rows), axis=0))

    monkeypatch.setattr(delaying, "rows_to_mmd_alarm", rows_that_differ)
    assert clean.features is not None
    few = Group(clean.scores[:550], clean.features[:550])
    plan = replace(PLAN, delay_shares=(0.5,))
    found = delays(
        image_bundle, few, {"harmful": Group(clean.scores, -clean.features)}, plan, Work(tmp_path), seed=0, rate=100_000
    )
    assert found["feature_mmd"]["none"]["0"]["mean_rows"] == 500
    assert found["feature_mmd"]["harmful"]["0.5"]["mean_rows"] == 500
