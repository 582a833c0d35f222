"""The output of `harmgauge demo`: the estimate of accuracy beside the truth, and which alarm came first."""

from __future__ import annotations

import re
from pathlib import Path

from harmgauge.bundle.picture_measures import MEASURES
from harmgauge.cli.demo import columns_sentence
from tests.support.page_traffic import GAUGED
from tests.support.process import run_here, running_service
from tests.support.toy import toy_bundle

STEP = re.compile(
    r"^ *(?P<rows>\d+) +(?P<share>\d+)%  (?P<estimate>[\d.]+)% \((?P<lower>[\d.]+) to (?P<upper>[\d.]+)\) +"
    r"(?P<true>[\d.]+)%",
    re.MULTILINE,
)
FIRED = re.compile(r"^(\w+) fired at image (\d+), after \d+ corrupted ones, at a share of \d+%", re.MULTILINE)


def test_the_estimate_falls_with_the_truth_and_the_first_alarm_is_named() -> None:
    with running_service(GAUGED) as service:
        done = run_here("demo", bundle=GAUGED, port=service.port)
    assert done.returncode == 0, done.stderr
    steps = [{name: float(text) for name, text in found.groupdict().items()} for found in STEP.finditer(done.stdout)]
    assert len(steps) == 14, done.stdout
    clean, last = steps[3], steps[-1]
    assert (clean["share"], clean["rows"]) == (0, 1000)
    assert clean["estimate"] - last["estimate"] > 30
    assert clean["true"] - last["true"] > 30
    assert all(abs(step["estimate"] - step["true"]) < 5 for step in steps[1:]), done.stdout
    assert all(step["lower"] <= step["estimate"] <= step["upper"] for step in steps)
    assert "attacks that the bundle does not detect" in done.stdout

    fired = {name: int(rows) for name, rows in FIRED.findall(done.stdout)}
    assert set(fired) == {"harm", "score_ks", "score_evidence", "feature_mmd"}
    assert min(fired.values()) > 1000, "not while all images were clean"
    first = [name for name, rows in fired.items() if rows == min(fired.values())]
    line = next(line for line in done.stdout.splitlines() if line.startswith("First alarm: "))
    assert line.startswith(f"First alarm: {' and '.join(first)}, at image {min(fired.values())}")
    assert ("harm" in first) or line.endswith(f"; harm, at image {fired['harm']}.")
    assert re.search(
        r"estimate of accuracy has fallen by more than 2 points \(now [\d.]+%, true [\d.]+%\)", done.stdout
    )
    assert max(len(line) for line in done.stdout.splitlines()) <= 120

    changed = re.findall(r"^Columns that changed: (.*); GET /drift/columns shows how$", done.stdout, re.MULTILINE)
    names = set(changed[0].split(", "))
    assert "`predicted class`" in names, "counted on every image, and so certain; of pictures, a sample is measured"
    assert names <= {f"`{name}`" for name in (*MEASURES, "predicted class")}


def test_samples_without_labels_have_no_truth(tmp_path: Path) -> None:
    bundle = toy_bundle(tmp_path, error_probability=True)
    with running_service(bundle) as service:
        done = run_here("demo", bundle=bundle, port=service.port)
    assert done.returncode == 0, done.stderr
    assert "accuracy (90 %)" in done.stdout
    assert "true" not in done.stdout


def test_of_many_columns_the_first_are_named() -> None:
    assert columns_sentence(["age"]) == "Columns that changed: `age`; GET /drift/columns shows how"
    assert "changed: `a`, `b`, `c`, `d`, `e`, `f` and 2 more; GET" in columns_sentence("abcdefgh")


def test_a_bundle_without_an_estimate_has_a_reason(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path) as service:
        reason = service.client.get("/drift").json()["accuracy_missing"]
        done = run_here("demo", bundle=image_bundle_path, port=service.port)
    assert done.returncode == 0, done.stderr
    assert f"There is no estimate of accuracy: {reason}\n" in done.stdout
    assert "mean score" in done.stdout
    assert "attacks" not in done.stdout
