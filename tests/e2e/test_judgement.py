"""Bundles that explain their score, and whether it is worth serving: shown wherever people look."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harmgauge_models.building.build import build
from harmgauge_models.options import Options
from tests.support.bundles import edit
from tests.support.process import run_here, running_service
from tests.support.toy import instances, linear_network

REASON = "the classifier's entropy told harmful from harmless rows better than any second network."
SENTENCE = "AUC 0.61 of harmful against harmless rows: hardly better than chance."


@pytest.fixture
def bundle(image_bundle_path: Path, tmp_path: Path) -> Path:
    """A bundle without a second network, as `build` writes it."""
    folder = Path(shutil.copytree(image_bundle_path, tmp_path / "toy" / "1"))
    judgement = {"sentence": SENTENCE, "worth_serving": False, "auc": 0.61}
    edit(folder, lambda manifest: manifest.update(detector="entropy", score={"reason": REASON}))
    edit(folder, lambda manifest: manifest.update(error_probability="the score is no second network's"))
    edit(folder, lambda manifest: manifest["quality"].update(judgement=judgement))
    return folder


def test_info_and_check_say_it(bundle: Path) -> None:
    checked = run_here("check", bundle=bundle)
    assert checked.returncode == 0, "it warns, and does not fail"
    assert f"  detector entropy\n    why: {REASON}\n  judged when it was built: {SENTENCE}\n" in checked.stdout
    assert "warning: the score of this bundle was judged not worth serving" in checked.stdout
    with running_service(bundle) as service:
        info = service.client.get("/info").json()
        assert (info["detector"], info["detector_reason"]) == ("entropy", REASON)
        assert info["judgement"] == {"sentence": SENTENCE, "worth_serving": False}
        service.score(instances(3, (4, 4, 3)))
        asked = {"instances": instances(1, (4, 4, 3)).tolist(), "parameters": {"correct": True}}
        refused = service.client.post("/score", json=asked)
        assert (refused.status_code, "offers no correction" in refused.text) == (422, True)
        ((labels, _),) = service.metrics()["harmgauge_bundle_info"]
        assert labels["detector"] == "entropy"


def test_a_bundle_that_is_worth_it_gets_no_warning(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["quality"]["judgement"].update(worth_serving=True))
    checked = run_here("check", bundle=bundle)
    assert SENTENCE in checked.stdout
    assert "warning" not in checked.stdout


def test_a_bundle_that_says_nothing_is_shown_as_before(image_bundle_path: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(image_bundle_path, tmp_path / "toy" / "1"))
    edit(older, lambda manifest: manifest["quality"].pop("judgement"))
    checked = run_here("check", bundle=older)
    assert checked.returncode == 0
    assert "judged" not in checked.stdout
    assert "why:" not in checked.stdout


def test_a_bundle_that_was_asked_to_have_no_second_network_is_served(tmp_path: Path) -> None:
    rows = instances(300, (5,), "float32")
    np.savez(tmp_path / "calibration.npz", x=rows)
    folder = build(
        Options(
            classifier=linear_network(tmp_path / "classifier.onnx", (5,), 3, 1, dtype="float32", scale=3),
            calibration=tmp_path / "calibration.npz",
            detector="entropy",
            name="toy",
            out=tmp_path,
            window_rows=100,
            say=lambda _: None,
        )
    )
    checked = run_here("check", bundle=folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "why: it was asked for with --detector entropy" in checked.stdout
    with running_service(folder) as service:
        info = service.client.get("/info").json()
        assert (info["detector"], info["score"]["unit"]) == ("entropy", "nats")
        assert info["judgement"]["sentence"] in checked.stdout
        asked = {"instances": rows.tolist(), "parameters": {"probabilities": True}}
        answer = service.client.post("/score", json=asked).json()
    p = np.array(answer["probabilities"])
    np.testing.assert_allclose(answer["scores"], -(p * np.log(np.clip(p, 1e-7, 1))).sum(1), atol=1e-5)
    assert np.mean(answer["is_adversarial"]) == pytest.approx(0.05, abs=0.01)
