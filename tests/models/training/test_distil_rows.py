"""The head for rows: learns from the right disturbances, resumes after an interruption, keeps its best epoch."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import find_columns
from harmgauge_models.data.disturber import Disturber, Tags
from harmgauge_models.data.row_disturbances import RowDisturber, make_pool
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import distribution, open_classifier
from harmgauge_models.graphs.fuse import fuse
from harmgauge_models.graphs.run import open_session, predict
from harmgauge_models.networks.row_head import RowHead
from harmgauge_models.training.distil_rows import Recipe, RowDistillation
from harmgauge_models.training.disturbed_rows import MIN_COPIES, DisturbedRows, Reader
from tests.support.toy import instances, linear_network

WIDTH = 6
X = instances(240, (WIDTH,), "float32")
RECIPE = Recipe(epochs=4, steps=8, batch_rows=32, hidden=(16, 8))


class TwoKinds:
    """Adds noise, or sets every value to `far`; the choice does not depend on `far`."""

    families: tuple[str, ...] = ("noise", "far")

    def __init__(self, far: float = 50) -> None:
        self._far = far

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        tags = np.full((len(x), 2), -1, np.int8)
        tags[:, 0] = random.integers(2, size=len(x))
        noisy = x + random.normal(0, 0.5, x.shape)
        return np.where(tags[:, :1] == 0, noisy, self._far).astype(x.dtype), tags


def distillation(
    folder: Path,
    disturber: Disturber | None = None,
    recipe: Recipe = RECIPE,
    *,
    work: Path | None = None,
    made: type[RowDistillation] = RowDistillation,
    labels: npt.NDArray[np.float64] | None = None,
    x: Array = X,
) -> Any:
    path = folder / "classifier.onnx"
    if not path.exists():
        linear_network(path, (WIDTH,), 3, 1, dtype="float32", scale=3)
    classifier = open_classifier(path, x, "classifier")
    if labels is None:
        outputs = predict(classifier.runnable, x, "labels", classifier.network.output)
        labels = distribution(outputs, classifier.network.gives, 1.0)
    if work is not None and not (work / "copies.json").exists():
        # few, however fast the machine is
        work.mkdir(parents=True, exist_ok=True)
        (work / "copies.json").write_text('{"copies": 3}')
    return made(
        classifier,
        Reader(classifier, None, row=classifier.network.input),
        disturber or RowDisturber(make_pool(x, find_columns(x), missing=False)),
        x,
        labels,
        missing=False,
        recipe=recipe,
        work=work,
        settings={},
    )


def same(first: RowHead, second: RowHead) -> bool:
    weights, others = first.state_dict(), second.state_dict()
    return all(torch.equal(weights[name], others[name]) for name in weights)


def test_it_learns_and_is_one_graph_with_the_classifier(tmp_path: Path) -> None:
    made = distillation(tmp_path, recipe=replace(RECIPE, epochs=12), work=tmp_path / "work")
    network, losses = made.fit()
    assert len(losses) == 12
    assert losses[-1] < losses[0]
    assert min(losses) > 0, "above the labels' own entropy"
    second = made.export(network)
    classifier = open_classifier(tmp_path / "classifier.onnx", X, "classifier")
    (log_q,) = made.log_q([network], X)
    alone = distribution(predict(second.runnable, X, "head"), "logits", 1.0)
    np.testing.assert_allclose(alone, np.exp(log_q), atol=1e-5)
    fused = fuse(classifier.network, second.network, "xent", 0.1)
    score, p = open_session(fused.SerializeToString()).run(None, {"input": X})
    outputs = predict(classifier.runnable, X, "classifier", classifier.network.output)
    np.testing.assert_allclose(p, distribution(outputs, classifier.network.gives, 1.0), atol=1e-5)
    sure = np.sort(p, 1)[:, -1] > 0.7  # at a temperature of 0.1, nothing of the other classes remains
    np.testing.assert_allclose(score[sure], -log_q[np.arange(len(X)), p.argmax(1)][sure], atol=1e-2)


class _CutOff(RowDistillation):
    looks = 0

    def _judge(self, network: RowHead, rows: DisturbedRows, kept: Tensor, recipe: Recipe) -> float:
        self.looks += 1
        if self.looks == 3:
            raise KeyboardInterrupt
        return super()._judge(network, rows, kept, recipe)


@pytest.mark.parametrize("without", [(), ("noise", "offset")])
def test_a_run_that_was_cut_off_comes_to_the_same_network(tmp_path: Path, without: tuple[str, ...]) -> None:
    whole, losses = distillation(tmp_path, work=tmp_path / "whole").fit(without=without)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        distillation(tmp_path, work=cut, made=_CutOff).fit(without=without)
    resumed, again = distillation(tmp_path, work=cut).fit(without=without)
    assert again == losses
    assert same(resumed, whole)
    assert same(distillation(tmp_path, work=cut).fit(without=without)[0], whole), "from the finished checkpoint"


def test_how_many_copies_there_are_is_noted_for_a_run_that_goes_on(tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert distillation(tmp_path, work=work).copies == 3, "as noted, however fast the classifier is now"
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    classifier = open_classifier(tmp_path / "classifier.onnx", X, "classifier")
    made = RowDistillation(
        classifier,
        Reader(classifier, None, row=classifier.network.input),
        TwoKinds(),
        np.tile(X, (20, 1)),
        np.full((20 * len(X), 3), 1 / 3),
        missing=False,
        recipe=RECIPE,
        work=fresh,
        settings={},
    )
    assert json.loads((fresh / "copies.json").read_text()) == {"copies": made.copies}
    assert made.copies == MIN_COPIES, "the training sees no more"


def test_families_that_are_left_out_are_not_learned_from(tmp_path: Path) -> None:
    """Whatever they do to a row, the network is the same."""
    made = [distillation(tmp_path, TwoKinds(far), work=tmp_path / str(far)) for far in (50, -7)]
    without = [each.fit(without=("far",))[0] for each in made]
    assert same(*without)
    assert not same(*(each.fit()[0] for each in made))


class _Watched(RowDistillation):
    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.judged: list[float] = []
        self.again = lambda network: 0.0

    def _judge(self, network: RowHead, rows: DisturbedRows, kept: Tensor, recipe: Recipe) -> float:
        self.again = lambda other: RowDistillation._judge(self, other, rows, kept, recipe)
        self.judged.append(super()._judge(network, rows, kept, recipe))
        return self.judged[-1]


def test_the_epoch_that_is_best_on_held_out_rows_is_kept(tmp_path: Path) -> None:
    """Random labels are memorised: the longer, the worse on other rows."""
    labels = np.eye(3)[np.random.default_rng(0).integers(3, size=len(X))]
    recipe = Recipe(epochs=8, steps=40, batch_rows=64, hidden=(64, 32), held_out=0.3, learning_rate=1e-2)
    made = distillation(tmp_path, TwoKinds(), recipe, work=tmp_path / "work", made=_Watched, labels=labels)
    network, _ = made.fit()
    assert len(made.judged) == recipe.epochs
    assert min(made.judged) < made.judged[-1]
    with torch.no_grad():
        assert made.again(network) == pytest.approx(min(made.judged), rel=1e-5)


def test_other_settings_are_refused_and_what_an_old_run_left_is_not_taken_up(tmp_path: Path) -> None:
    work = tmp_path / "work"
    distillation(tmp_path, work=work).fit()
    other = replace(RECIPE, hidden=(8, 8))
    with pytest.raises(UserError, match="different settings"):
        distillation(tmp_path, recipe=other, work=work).fit()
    (work / "rows.checkpoint").unlink()  # the remedy in the error
    again, _ = distillation(tmp_path, recipe=other, work=work).fit()
    fresh, _ = distillation(tmp_path, recipe=other, work=tmp_path / "fresh").fit()
    assert same(again, fresh)


def test_a_classifier_that_says_nothing_of_some_disturbed_rows(tmp_path: Path) -> None:
    """The square root of a negative number is NaN."""
    path = linear_network(tmp_path / "classifier.onnx", (WIDTH,), 3, 1, dtype="float32")
    model = onnx.load(path)
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    root = helper.make_node("Sqrt", [flatten.input[0]], ["root"])
    flatten.input[0] = "root"
    model.graph.node.insert(1, root)
    onnx.save(model, path)
    made = distillation(tmp_path, work=tmp_path / "work", x=np.abs(X))
    network, losses = made.fit()
    assert np.isfinite(losses).all()
    assert np.isfinite(made.log_q([network], np.abs(X))).all()
