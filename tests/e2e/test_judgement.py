"""Bundles that say why their score is what it is, and whether it is worth serving: everywhere that people look."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.bundles import edit
from tests.support.process import run_here, running_service
from tests.support.toy import instances

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
