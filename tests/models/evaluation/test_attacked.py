"""Attacks on a bundle with correction: the table compared with the graph's outputs for the kept pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from sklearn.metrics import roc_auc_score

from harmgauge.bundle.load import Bundle, load
from harmgauge_models.evaluation import attacked
from harmgauge_models.evaluation.attacked import attack_table
from harmgauge_models.evaluation.measure import Graph
from harmgauge_models.evaluation.pictures import Pictures
from harmgauge_models.evaluation.work import Work
from tests.support.toy import instances, toy_autoencoder_bundle, toy_bundle

ROWS = 40
NAMES = ("fgsm", "white-box")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(toy_autoencoder_bundle(tmp_path_factory.mktemp("bundle"), error_probability=True))


def graph(bundle: Bundle, rows: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    session = ort.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    wanted = ["score", "probabilities", "corrected_probabilities", "error_probability"]
    found: list[npt.NDArray[Any]] = session.run(wanted, {"input": rows})
    return found


@pytest.fixture(scope="module")
def pictures(bundle: Bundle) -> Pictures:
    x = instances(ROWS, (4, 4, 3), seed=3)
    y = graph(bundle, x)[1].argmax(1)
    y[::8] = (y[::8] + 1) % 3
    return Pictures(x, y)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def table(bundle: Bundle, pictures: Pictures, work: Work) -> dict[str, Any]:
    return attack_table(bundle, Graph(bundle), pictures, NAMES, work, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_rounded_attacks_are_judged_as_the_graph_answers_them(
    bundle: Bundle, pictures: Pictures, work: Work, table: dict[str, Any], name: str
) -> None:
    with np.load(next((work.folder / "attacks").glob(f"{name}-*.npz"))) as kept:
        whole = np.rint(kept["x"]).astype(np.uint8)
    assert np.abs(whole.astype(int) - pictures.x).max() in {8, 9}
    score, probabilities, corrected, chances = graph(bundle, whole)
    after, before = probabilities.argmax(1), graph(bundle, pictures.x)
    right = before[1].argmax(1) == pictures.y
    fooled, flagged = right & (after != pictures.y), score > bundle.threshold
    found = table["by"][name]["rounded"]
    assert 2 < fooled.sum() < ROWS
    assert found["fooled"] == pytest.approx(fooled.sum() / 35)
    assert found["evaded"] == pytest.approx((fooled & ~flagged).sum() / 35)
    assert found["flagged"] == pytest.approx(flagged[fooled].mean())
    labels = [0] * ROWS + [1] * int(fooled.sum())
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, [*before[0], *score[fooled]]), abs=1e-3)
    assert found["accuracy"] == pytest.approx((after == pictures.y).mean())
    assert found["estimate"] == pytest.approx(1 - chances.mean(), abs=1e-6)
    assert "estimate" not in table["by"][name], "the bundle takes whole numbers only"
    repaired = np.where(flagged, corrected.argmax(1), after)
    assert found["corrected_accuracy"] == pytest.approx((repaired == pictures.y).mean())
    assert found["linf"] == pytest.approx(8 / 255, abs=1.01 / 255)


def test_pictures_that_were_wrong_stay_as_they_are(pictures: Pictures, work: Work, table: dict[str, Any]) -> None:
    assert table["rows"] == ROWS
    with np.load(next((work.folder / "attacks").glob("fgsm-*.npz"))) as kept:
        np.testing.assert_array_equal(kept["x"][::8], pictures.x[::8])


def test_a_second_run_attacks_nothing_again(
    bundle: Bundle, pictures: Pictures, work: Work, table: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacked, "attack", None)
    assert attack_table(bundle, Graph(bundle), pictures, NAMES, work, seed=0) == table
    with pytest.raises(TypeError):
        attack_table(bundle, Graph(bundle), pictures, NAMES, work, seed=1)


def test_a_bundle_without_correction_and_estimate_claims_none(work: Work, pictures: Pictures, tmp_path: Path) -> None:
    bundle = load(toy_bundle(tmp_path))
    found = attack_table(bundle, Graph(bundle), pictures, ("fgsm",), work, seed=0)["by"]["fgsm"]
    for table in (found, found["rounded"]):
        assert not {"corrected_accuracy", "estimate"} & set(table)
