"""`evaluate` on a small real bundle: its numbers compared with those computed by hand, resuming, and its errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import entropy, ks_2samp
from sklearn.metrics import roc_auc_score

from harmgauge.bundle.load import load
from harmgauge.cli.main import main
from harmgauge_models.data.corruptions import benchmark, corrupt
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation import evaluate as evaluation
from harmgauge_models.evaluation.evaluate import NUMBERS_FILE, PAGE_FILE, PLOT_FILES, Options, evaluate
from harmgauge_models.evaluation.measure import SCORES, Graph
from harmgauge_models.evaluation.plan import QUICK, SHARES
from harmgauge_models.evaluation.severity import Harm, Pool, severity_table
from tests.models.evaluation.conftest import SHAPE, graph_outputs, options_for
from tests.support.process import running_service
from tests.support.toy import instances, toy_bundle


@pytest.fixture
def options(original: Path, evaluated: Path, work: Path, tmp_path: Path) -> Options:
    """Options for a copy of the bundle as built, after an identical one was evaluated."""
    assert evaluated.is_dir()
    return options_for(original, tmp_path, work)


@pytest.fixture
def quality(evaluated: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((evaluated / NUMBERS_FILE).read_text())
    return found


@dataclasses.dataclass
class ByHand:
    """One severity, all kinds, computed from the graph and the corruptions alone."""

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    harmful: npt.NDArray[np.bool_]
    harmless: npt.NDArray[np.bool_]


def by_hand(bundle: Path, data: Path, severity: int) -> ByHand:
    with np.load(data) as arrays:
        x, y = arrays["x"], arrays["y"]
    right_before = np.tile(graph_outputs(bundle, x)[1].argmax(1) == y, len(QUICK.kinds))
    corrupted = np.concatenate([corrupt(kind, x, severity, 0) for kind in QUICK.kinds])
    score, probabilities = graph_outputs(bundle, corrupted)
    right = probabilities.argmax(1) == np.tile(y, len(QUICK.kinds))
    return ByHand(score, probabilities, right, right_before & ~right, right_before & right)


@pytest.mark.parametrize("severity", QUICK.severities)
def test_the_numbers_by_severity_are_those_computed_by_hand(
    original: Path, data: Path, quality: dict[str, Any], severity: int
) -> None:
    hand, found = by_hand(original, data, severity), quality["severity"][str(severity)]
    assert found["accuracy"] == pytest.approx(hand.right.mean())
    by_kind = dict(zip(QUICK.kinds, hand.right.reshape(len(QUICK.kinds), -1).mean(1), strict=True))
    assert found["accuracy_by_kind"] == pytest.approx(by_kind)
    scores = {
        "score": hand.score,
        "entropy": entropy(hand.probabilities, axis=1),
        "doubt": 1 - hand.probabilities.max(1),
    }
    either = hand.harmful | hand.harmless
    threshold = load(original).threshold
    for group, mask in (("harmful", hand.harmful), ("harmless", hand.harmless)):
        assert found[group]["rows"] == mask.sum() > 20
        assert found[group]["flagged"] == pytest.approx((hand.score[mask] > threshold).mean())
        for name, values in scores.items():
            expected = {"mean": values[mask].mean(), "std": values[mask].std()}
            assert found[group][name] == pytest.approx(expected, rel=1e-4)
    for name, values in scores.items():
        expected_auc = roc_auc_score(hand.harmful[either], values[either])
        assert found["roc_auc"][name] == pytest.approx(expected_auc, abs=1e-4)


@pytest.mark.parametrize("severity", QUICK.severities)
def test_kinds_are_reported_one_by_one(original: Path, data: Path, quality: dict[str, Any], severity: int) -> None:
    hand, found = by_hand(original, data, severity), quality["severity"][str(severity)]
    rows = np.repeat(QUICK.kinds, len(hand.score) // len(QUICK.kinds))
    for kind, area in found["roc_auc_by_kind"].items():
        either = (hand.harmful | hand.harmless) & (rows == kind)
        if area is not None:
            assert area == pytest.approx(roc_auc_score(hand.harmful[either], hand.score[either]), abs=1e-4)
    assert any(area is not None for area in found["roc_auc_by_kind"].values())
    assert "roc_auc_unseen" not in found, "this bundle's second network was trained on no kinds"


def test_kinds_like_those_of_the_training_are_left_out_of_the_unseen() -> None:
    random = np.random.default_rng(0)
    right = random.random((3, 200)) < 0.6
    scores = random.random((3, 200)) + np.array([[1.0], [0.0], [0.5]]) * ~right
    pooled = Pool(
        kinds=("noise", "fog", "snow"),
        scores=dict.fromkeys(SCORES, scores),
        right=right,
        harm=Harm(harmful=~right, harmless=right),
        corrected_right=None,
        features=None,
    )
    found = severity_table(pooled, np.float32(1), ("noise",))
    expected = roc_auc_score(~right[1:].ravel(), scores[1:].ravel())
    assert found["roc_auc_unseen"]["score"] == pytest.approx(expected)
    assert found["roc_auc_by_kind"]["snow"] == pytest.approx(roc_auc_score(~right[2], scores[2]))


def test_clean_pictures_are_measured_as_they_are(original: Path, data: Path, quality: dict[str, Any]) -> None:
    with np.load(data) as arrays:
        score, probabilities = graph_outputs(original, arrays["x"])
        assert quality["clean"]["accuracy"] == (probabilities.argmax(1) == arrays["y"]).mean() == 0.9
    assert quality["clean"]["flagged"] == pytest.approx((score > load(original).threshold).mean())


@pytest.mark.parametrize(("index", "group", "severity"), [(1, "harmful", 5), (2, "harmless", 3)])
def test_p_values_are_scipys_of_the_same_batches(
    original: Path, data: Path, quality: dict[str, Any], index: int, group: str, severity: int
) -> None:
    hand, reference = by_hand(original, data, severity), load(original).reference.scores
    with np.load(data) as arrays:
        clean = graph_outputs(original, arrays["x"])[0]
    random, p_values = np.random.default_rng((0, index, 40)), []
    for _ in range(QUICK.batches):
        drawn = [
            random.choice(scores.astype(np.float64), rows, replace=False)
            for scores, rows in ((reference, 600), (clean, 60), (hand.score[getattr(hand, group)], 40))
        ]
        p_values.append(ks_2samp(np.concatenate(drawn[1:]), drawn[0]).pvalue)
    found = quality["contamination"]["p"][group][str(severity)]["0.4"]
    assert found == pytest.approx({"mean": np.mean(p_values), "max": np.max(p_values)}, rel=1e-3)


def test_shares_for_which_scores_are_too_few_are_left_out(quality: dict[str, Any]) -> None:
    for group, by_severity in quality["contamination"]["p"].items():
        for severity, shares in by_severity.items():
            rows = quality["severity"][severity][group]["rows"]
            assert list(shares) == [f"{share:g}" for share in SHARES if round(100 * share) <= rows]


def test_delays_are_those_of_all_detectors_and_within_the_cut_off(quality: dict[str, Any]) -> None:
    detectors = quality["delays"]["detectors"]
    assert list(detectors) == ["score_evidence", "score_ks", "feature_mmd", "harm"]
    for groups in detectors.values():
        assert groups["none"]["0"] == {"mean_rows": QUICK.most_rows, "alarms": 0}
        for group in ("harmful", "harmless"):
            assert list(groups[group]) == ["0.1", "0.5"]
            assert all(0 < entry["mean_rows"] <= QUICK.most_rows for entry in groups[group].values())


@pytest.mark.usefixtures("figures_not_drawn")
def test_a_bundle_without_features_has_no_delays_of_feature_mmd(data: Path, work: Path, tmp_path: Path) -> None:
    bundle = toy_bundle(tmp_path, shape=SHAPE, features="none")
    quality = evaluate(Options(bundle, data, work, quick=True, attacks=(), say=lambda _: None))
    assert "attacks" not in quality
    assert list(quality["delays"]["detectors"]) == ["score_evidence", "score_ks"]


@pytest.mark.usefixtures("figures_not_drawn")
def test_a_second_run_measures_nothing_again_and_a_lost_part_alone(
    options: Options, work: Path, quality: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run = [], Graph.run

    def counted(graph: Graph, rows: npt.NDArray[Any], *, features: bool) -> Any:
        runs.append(len(rows))
        return run(graph, rows, features=features)

    monkeypatch.setattr(Graph, "run", counted)
    monkeypatch.setattr(benchmark, "corrupt", None)
    for kept in (work / "outputs").glob("motion_blur-5-*"):
        kept.unlink()
    assert evaluate(options) == quality
    assert runs == [600]


def test_the_rewritten_bundle_is_the_old_one_with_a_report_and_serves(original: Path, evaluated: Path) -> None:
    before, after = load(original), load(evaluated)
    assert set(after.manifest.files) == set(before.manifest.files) | {PAGE_FILE, NUMBERS_FILE, *PLOT_FILES.values()}
    kept = {name: spec for name, spec in after.manifest.files.items() if name in before.manifest.files}
    assert kept == before.manifest.files
    changed = {name for name, value in before.manifest if value != getattr(after.manifest, name)}
    assert changed == {"quality", "files"}
    headlines = after.manifest.quality["evaluation"]
    assert headlines["severity"]["3"]["roc_auc"] > 0
    assert headlines["quick"]
    with running_service(evaluated) as service:
        scores = service.score(instances(2, SHAPE))["scores"]
    np.testing.assert_allclose(scores, graph_outputs(original, instances(2, SHAPE))[0], rtol=1e-4)


@pytest.mark.usefixtures("figures_not_drawn")
def test_a_bundle_that_changed_meanwhile_is_left_as_it_is(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = options.bundle / "bundle.json"

    def headlines(_: Any) -> dict[str, Any]:
        manifest.write_text(manifest.read_text().replace('"temperature": 1.0', '"temperature": 1'))
        return {}

    monkeypatch.setattr(evaluation, "headlines", headlines)
    with pytest.raises(UserError, match="has changed in the meantime: run the command again"):
        evaluate(options)
    assert not (options.bundle / PAGE_FILE).exists()
    assert [path.name for path in options.bundle.parent.iterdir()] == ["1"]


@pytest.mark.usefixtures("figures_not_drawn")
def test_the_command_says_what_it_found_and_made(
    options: Options, capsys: pytest.CaptureFixture[str], quality: dict[str, Any]
) -> None:
    given = ["evaluate", str(options.bundle), "--data", str(options.data), "--work", str(options.work), "--quick"]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert f"score {quality['severity']['3']['roc_auc']['score']:.3f}" in said
    assert str(options.bundle / PAGE_FILE) in said
    assert f"next: HARMGAUGE_BUNDLE={options.bundle} harmgauge serve" in said


@pytest.mark.usefixtures("figures_not_drawn")
def test_the_users_own_corrupted_pictures_are_judged_beside_those_that_are_made(
    options: Options, work: Path, tmp_path: Path
) -> None:
    with np.load(options.data) as arrays:
        x, y = arrays["x"], arrays["y"]
    np.savez(tmp_path / "upside_down.npz", x=x[:, ::-1])
    own = dataclasses.replace(
        options, kinds=("brightness",), corrupted=(tmp_path / "upside_down.npz",), attacks=(), work=work
    )
    quality = evaluate(own)
    assert list(quality["severity"]) == ["3", "5", "none"]
    right = graph_outputs(options.bundle, x[:, ::-1])[1].argmax(1) == y
    assert quality["severity"]["none"]["accuracy_by_kind"] == {"upside_down": pytest.approx(right.mean())}
    np.savez(tmp_path / "upside_down.npz", x=x[:, :8, :8])
    with pytest.raises(UserError, match=r"x is uint8 \(600, 8, 8, 3\); .* \(n, 16, 16, 3\)"):
        evaluate(own)


def spoilt(options: Options, folder: Path, **arrays: Any) -> Options:
    """Options with changed test data."""
    with np.load(options.data) as good:
        kept = {name: value for name, value in (dict(good) | arrays).items() if value is not None}
    np.savez(folder / "spoilt.npz", **kept)
    return dataclasses.replace(options, data=folder / "spoilt.npz")


def test_wrong_data_are_refused_with_a_remedy(options: Options, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labels: make it with numpy.savez"):
        evaluate(spoilt(options, tmp_path, y=None))
    with pytest.raises(UserError, match="classes 0 to 2: number the labels in the order"):
        evaluate(spoilt(options, tmp_path, y=np.full(600, 3)))
    with pytest.raises(UserError, match=r"float64 .* 8-bit pictures, uint8 \(n, 16, 16, 3\)"):
        evaluate(spoilt(options, tmp_path, x=np.zeros((600, *SHAPE))))
    with pytest.raises(UserError, match=r"uint8 \(600, 8, 8, 3\); .* \(n, 16, 16, 3\)"):
        evaluate(spoilt(options, tmp_path, x=instances(600, (8, 8, 3))))
    with pytest.raises(UserError, match="expected at least 200"):
        evaluate(spoilt(options, tmp_path, x=instances(100, SHAPE), y=np.zeros(100, int)))
    with pytest.raises(UserError, match="there is no CIFAR-10 at .*name the folder"):
        evaluate(dataclasses.replace(options, data=tmp_path / "nowhere"))


def test_cifar10_is_refused_for_a_bundle_of_another_size(options: Options, cifar10_path: Path) -> None:
    with pytest.raises(UserError, match=r"32 x 32; the bundle toy accepts 16 x 16: name an \.npz"):
        evaluate(dataclasses.replace(options, data=cifar10_path))


def test_pictures_are_refused_for_a_bundle_of_other_rows(options: Options, vector_bundle_path: Path) -> None:
    with pytest.raises(UserError, match=r"x is uint8 \(600, 16, 16, 3\); the bundle .* accepts float32 \(n, 5\)"):
        evaluate(dataclasses.replace(options, bundle=vector_bundle_path))


def test_a_folder_with_other_files_is_refused_before_anything_is_measured(options: Options) -> None:
    (options.bundle / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt.*move it away"):
        evaluate(options)
    with pytest.raises(UserError, match="is not a bundle"):
        evaluate(dataclasses.replace(options, bundle=options.bundle.parent))
