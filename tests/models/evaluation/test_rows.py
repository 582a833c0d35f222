"""`evaluate` on bundles for rows other than pictures: numbers by hand, the user's own corruptions, periods, errors."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy, ks_2samp
from sklearn.metrics import roc_auc_score

from harmgauge.bundle.load import load
from harmgauge.cli.main import main
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.evaluate import NUMBERS_FILE, PAGE_FILE, Options, evaluate
from tests.models.evaluation.conftest import graph_outputs
from tests.support.toy import instances, toy_bundle

SHAPE = (6,)
ROWS = 500
NAMES = ("low", "middle", "high")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    return toy_bundle(folder, shape=SHAPE, dtype="float32", class_names=NAMES, error_probability=True)


@pytest.fixture(scope="module")
def data(bundle: Path) -> Path:
    """Rows in order of time, of which the classifier gets fewer and fewer right; labels by name."""
    x = instances(ROWS, SHAPE, "float32", seed=9)
    y = graph_outputs(bundle, x)[1].argmax(1)
    wrong = np.random.default_rng(0).random(ROWS) < np.linspace(0.05, 0.5, ROWS)
    y[wrong] = (y[wrong] + 1) % 3
    days = np.datetime64("2025-01-06") + np.arange(ROWS) // 5  # a Monday
    path = bundle.parents[1] / "rows.npz"
    names = np.array(NAMES)[y]
    np.savez(path, x=x.astype(np.float64), y=names, day=days, third=np.arange(ROWS) * 3 // ROWS)
    return path


@pytest.fixture(scope="module")
def noise(bundle: Path, data: Path) -> Path:
    with np.load(data) as arrays:
        x = arrays["x"]
    random = np.random.default_rng(1)
    path = bundle.parents[1] / "mine.npz"
    levels = {f"noise-{level}": x + level * random.normal(size=x.shape) for level in (1, 4)}
    np.savez(path, **levels, doubled=2 * x)
    return path


@pytest.fixture(scope="module")
def work(bundle: Path) -> Path:
    """The folder of intermediate results: what several evaluations need is computed once."""
    return bundle.parents[1] / "work"


@pytest.fixture
def options(bundle: Path, data: Path, work: Path, tmp_path: Path) -> Options:
    copy = Path(shutil.copytree(bundle, tmp_path / "toy" / "1"))
    return Options(copy, data, work, quick=True, say=lambda _: None)


def area(positive: Any, scores: Any) -> Any:
    return pytest.approx(roc_auc_score(positive, scores), abs=1e-4)


@pytest.mark.usefixtures("figures_not_drawn")
def test_the_users_own_rows_are_judged_row_by_row_at_their_severity(options: Options, noise: Path) -> None:
    quality = evaluate(dataclasses.replace(options, kinds=(), corrupted=(noise,)))
    assert list(quality["severity"]) == ["1", "4", "none"]
    assert quality["delays"]["severity"] == 4
    with np.load(options.data) as arrays, np.load(noise) as own:
        x, y = arrays["x"].astype(np.float32), arrays["y"]
        copies = {name: own[name].astype(np.float32) for name in own.files}
    labels = np.array([NAMES.index(str(name)) for name in y])
    assert quality["rows"]["rows"] == ROWS, "no row is set apart if the reference has features"
    before = graph_outputs(options.bundle, x)[1].argmax(1) == labels
    assert quality["clean"]["accuracy"] == pytest.approx(before.mean())
    scores, doubts, rights = [], [], []
    for level, name, kind in (("1", "noise-1", "noise"), ("4", "noise-4", "noise"), ("none", "doubled", "doubled")):
        score, probabilities = graph_outputs(options.bundle, copies[name])
        right = probabilities.argmax(1) == labels
        found = quality["severity"][level]
        assert found["accuracy_by_kind"] == {kind: pytest.approx(right.mean())}
        assert found["by_kind"][kind]["rows"] == [(before & ~right).sum(), (before & right).sum()]
        if level != "none":  # the same answer for the row twice
            harmed = ~right[before]
            assert found["by_kind"][kind]["roc_auc"]["score"] == area(harmed, score[before])
            assert found["by_kind"][kind]["roc_auc"]["entropy"] == area(harmed, entropy(probabilities[before], axis=1))
        scores.append(score)
        doubts.append(1 - probabilities.max(1))
        rights.append(right)
    score, probabilities = graph_outputs(options.bundle, x)
    wrong = ~np.concatenate([probabilities.argmax(1) == labels, *rights])
    everything = quality["pooled"]["wrong_right"]["roc_auc"]
    assert everything["score"] == area(wrong, np.concatenate([score, *scores]))
    assert everything["doubt"] == area(wrong, np.concatenate([1 - probabilities.max(1), *doubts]))


def test_periods_are_judged_by_their_labels(options: Options) -> None:
    quality = evaluate(dataclasses.replace(options, kinds=(), time="third"))
    assert quality["severity"] == {}
    assert "delays" not in quality
    tables = quality["periods"]["by_period"]
    assert list(tables) == ["0", "1", "2"]
    assert tables["0"]["accuracy"] > tables["2"]["accuracy"] + 0.15
    with np.load(options.data) as arrays:
        x, third = arrays["x"].astype(np.float32), arrays["third"]
    score = graph_outputs(options.bundle, x)[0]
    reference = load(options.bundle).reference.scores
    assert tables["1"]["ks_p"] == pytest.approx(ks_2samp(score[third == 1], reference).pvalue, rel=1e-3)
    assert tables["1"]["score"] == pytest.approx(score[third == 1].mean(), rel=1e-4)
    page = (options.bundle / PAGE_FILE).read_text()
    assert "Over time" in page
    assert "Kinds of corruption" not in page
    estimates = quality["accuracy_estimate"]
    own = {one["name"]: one for one in estimates["sets"] if one["group"] == "period"}
    assert list(own) == ["0", "1", "2"]
    assert own["2"]["accuracy"] == pytest.approx(tables["2"]["accuracy"], abs=1e-5)
    assert own["2"]["rows"] == tables["2"]["rows"]
    assert set(estimates["errors"]) == {"clean", "label_shift", "period"}
    assert [one["name"] for one in estimates["alarm"]["sets"]] == ["all"]
    assert "The estimate of accuracy" in page


@pytest.mark.usefixtures("figures_not_drawn")
def test_weeks_begin_on_monday_and_all_sources_go_together(
    options: Options, noise: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["evaluate", str(options.bundle), "--data", str(options.data), "--work", str(options.work), "--quick"]
    given += ["--kinds", "units,other_row", "--corrupted", str(noise), "--time", "day", "--periods", "week"]
    assert main(given) == 0
    said = capsys.readouterr().out
    quality = json.loads((options.bundle / NUMBERS_FILE).read_text())
    assert list(quality["severity"]) == ["1", "3", "4", "5", "none"]
    assert set(quality["pooled"]["by_kind"]) == {"units", "other_row", "noise", "doubled"}
    weeks = quality["periods"]["by_period"]
    assert next(iter(weeks)) == "2025-01-06"
    assert [week["rows"] for week in weeks.values()] == [35] * 14 + [10]
    assert "15 periods: accuracy" in said
    assert "estimate of accuracy, one corruption: error " in said
    short = [one for one in quality["accuracy_estimate"]["sets"] if one["group"] == "period"]
    assert short == [], "a week has too few rows to judge an estimate by"
    page = (options.bundle / PAGE_FILE).read_text()
    for title in ("Kinds of corruption", "Over time", "p-value by contamination", "Detection delay"):
        assert title in page
    below = quality["below_entropy"]
    assert below, "this second network is random: it cannot but be worse than entropy somewhere"
    assert all(entry["high"] < 0 for entry in below)
    assert said.count("warning: the score ranks worse than the classifier's entropy") == len(
        {("over time" if "period" in entry else entry["kind"], entry["between"]) for entry in below}
    )
    assert f"In these {len(below)} figures" in page
    assert load(options.bundle).manifest.quality["evaluation"]["below_entropy"] == len(below)


def test_a_score_that_is_entropy_is_below_it_nowhere(bundle: Path, data: Path) -> None:
    quality = {
        "severity": {},
        "clean": {"wrong_right": {"score_minus_entropy": {"difference": 0.0, "low": 0.0, "high": 0.0}}},
    }
    from harmgauge_models.evaluation.compared import below_entropy

    assert below_entropy(quality) == []


@pytest.mark.usefixtures("figures_not_drawn")
def test_every_kind_that_suits_is_made_and_the_distance_is_measured(data: Path, tmp_path: Path) -> None:
    apart = toy_bundle(tmp_path, shape=SHAPE, dtype="float32", features="none", class_names=NAMES)
    quality = evaluate(Options(apart, data, tmp_path / "work", quick=True, say=lambda _: None))
    assert quality["rows"]["rows"] == ROWS - ROWS // 4
    assert quality["distance_on"] == "inputs"
    assert quality["left_out"] == []
    assert quality["accuracy_estimate"] == {"missing": load(apart).no_error_probability}
    assert len(quality["pooled"]["by_kind"]) >= 5
    units = quality["pooled"]["by_kind"]["units"]
    assert set(units["roc_auc"]) == {"score", "entropy", "doubt", "distance"}
    clean, changed = quality["clean"]["distance"]["mean"], quality["severity"]["5"]["harmful"]["distance"]["mean"]
    assert changed > clean


def with_missing(bundle: Path) -> None:
    """The bundle's manifest accepts NaN, but its classifier returns NaN for it."""
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["inputs"][0]["missing"] = True
    (bundle / "bundle.json").write_text(json.dumps(manifest))


@pytest.mark.usefixtures("figures_not_drawn")
def test_a_copy_that_the_classifier_gives_no_numbers_for_is_left_out_by_name(options: Options, tmp_path: Path) -> None:
    bundle = toy_bundle(tmp_path, shape=SHAPE, dtype="float32", features="none", class_names=NAMES)
    with_missing(bundle)
    quality = evaluate(dataclasses.replace(options, bundle=bundle, kinds=("missing", "stuck")))
    assert sorted(quality["left_out"]) == ["missing-3", "missing-5"]
    assert list(quality["pooled"]["by_kind"]) == ["stuck"]
    assert "Left out because the classifier returns no finite scores: missing-" in (bundle / PAGE_FILE).read_text()


def test_rows_of_the_users_own_that_the_classifier_gives_no_numbers_for_are_an_error(
    options: Options, noise: Path, tmp_path: Path
) -> None:
    with_missing(options.bundle)
    with np.load(noise) as own:
        gaps = own["noise-1"].copy()
    gaps[3, 1] = np.nan
    np.savez(tmp_path / "gaps.npz", **{"gaps-2": gaps})
    with pytest.raises(UserError, match="gaps at severity 2: the score of row 3 is nan"):
        evaluate(dataclasses.replace(options, kinds=(), corrupted=(tmp_path / "gaps.npz",)))


@pytest.mark.usefixtures("figures_not_drawn")
@pytest.mark.parametrize(
    ("shape", "dtype", "layout"), [((8, 8, 1), "uint8", "pictures"), ((40, 2), "float32", "series")]
)
def test_grey_pictures_and_series_are_judged_too(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, layout: str
) -> None:
    bundle = toy_bundle(tmp_path, shape=shape, dtype=dtype, samples=None, features="none")
    x = instances(250, shape, dtype, seed=3)
    y = graph_outputs(bundle, x)[1].argmax(1)
    np.savez(tmp_path / "test.npz", x=x, y=y)
    quality = evaluate(Options(bundle, tmp_path / "test.npz", tmp_path / "work", quick=True, say=lambda _: None))
    assert quality["layout"] == layout
    assert quality["clean"]["accuracy"] == 1
    assert quality["clean"]["wrong_right"]["roc_auc"]["score"] is None, "there is no wrong answer to tell"
    assert quality["severity"]["5"]["accuracy"] < 1


def spoilt(options: Options, folder: Path, **arrays: Any) -> Options:
    with np.load(options.data) as good:
        kept = {name: value for name, value in (dict(good) | arrays).items() if value is not None}
    np.savez(folder / "spoilt.npz", **kept)
    return dataclasses.replace(options, data=folder / "spoilt.npz")


def test_unsuitable_data_are_refused_in_one_line(options: Options, tmp_path: Path) -> None:
    gaps = instances(ROWS, SHAPE, "float32")
    gaps[7, 2] = np.nan
    for arrays, text in (
        ({"y": None}, "no labels: it has no y"),
        ({"x": None}, "no rows: it has no x"),
        ({"x": np.zeros((ROWS, 7))}, r"float64 \(500, 7\); the bundle toy accepts float32 \(n, 6\)"),
        ({"x": gaps}, "1 missing values .* the first in row 7; .* accepts none: fill them"),
        ({"x": np.where(np.isnan(gaps), np.inf, gaps)}, "not float32, the first in row 7: inf"),
        ({"x": np.where(np.isnan(gaps), 1e300, gaps.astype(float))}, r"not float32, the first in row 7: 1e\+300"),
        (
            {"y": np.full(ROWS, "medium")},
            "the class 'medium', which the bundle .* its classes are low, middle, high",
        ),
        ({"y": np.full(ROWS, 3)}, "classes 0 to 2"),
        ({"y": np.full(ROWS, 0.5)}, "whole numbers or names"),
        ({"y": np.zeros(7, int)}, "one label for each of the 500 rows"),
        ({"x": instances(20, SHAPE, "float32"), "y": np.zeros(20, int)}, "at least 200"),
    ):
        with pytest.raises(UserError, match=text):
            evaluate(spoilt(options, tmp_path, **arrays))
    with pytest.raises(UserError, match=r"expected an \.npz file with rows x \(n, 6\) and labels y, got .*nowhere"):
        evaluate(dataclasses.replace(options, data=tmp_path / "nowhere"))


def test_unsuitable_requests_are_refused_before_anything_is_measured(options: Options, tmp_path: Path) -> None:
    unused, short = tmp_path / "work", tmp_path / "short.npz"
    np.savez(short, noise=instances(20, SHAPE, "float32"))
    wide = tmp_path / "wide.npz"
    np.savez(wide, noise=np.zeros((ROWS, 9)))
    for changes, text in (
        ({"attacks": ("fgsm",)}, "attacks are for 8-bit colour pictures; the bundle toy accepts float32"),
        ({"attack_rows": 5}, "leave --attacks and --attack-rows out"),
        ({"kinds": ("fog",)}, "--kinds fog: expected some of gaussian_noise"),
        ({"kinds": ()}, "nothing to judge the bundle on"),
        ({"periods": "week"}, "expected --time too"),
        ({"time": "hour"}, "no such array; it has day, third"),
        ({"time": "third", "periods": "month"}, "expected dates in third, got int64"),
        ({"time": "day", "periods": "fortnight"}, "expected a count of 2 to 400, or one of hour, day, week"),
        ({"corrupted": (tmp_path / "none.npz",)}, "none.npz does not exist"),
        ({"corrupted": (short,)}, r"noise is float32 \(20, 6\); expected 500 rows"),
        (
            {"corrupted": (wide,)},
            r"short|wide.npz: noise is float64 \(500, 9\); the bundle toy accepts float32 \(n, 6\)",
        ),
    ):
        with pytest.raises(UserError, match=text):
            evaluate(dataclasses.replace(options, work=unused, **changes))
    assert not unused.exists()
