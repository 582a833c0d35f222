"""The examples of README and of the tutorial: their files become a bundle, and the bundle is served."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge.cli.main import main
from tests.support.few_rows import few_fitted, few_judged
from tests.support.not_drawn import build_report_not_drawn
from tests.support.process import running_service
from tests.support.readme import README, example_files, page, readme_example, run_example

EXAMPLES = re.findall(r"```python\n(.*?)```", page("own-classifier.md"), re.DOTALL)
JSON = {"Content-Type": "application/json"}


def as_json(rows: Array) -> str:
    """Rows as the tutorial's command sends them: null for a missing value."""
    return json.dumps({"instances": rows.tolist()}).replace("NaN", "null")


def test_readmes_example_and_commands_are_the_tutorials() -> None:
    assert readme_example() == EXAMPLES[0]
    (commands,) = re.findall(r"```\n(harmgauge build .*?)```", README, re.DOTALL)
    assert commands in page("own-classifier.md")


@pytest.mark.parametrize(
    ("example", "epochs"), list(zip(EXAMPLES, ("4", "2"), strict=True)), ids=["scikit-learn", "pytorch"]
)
def test_a_classifier_of_ones_own_comes_into_service(
    example: str, epochs: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if example == readme_example():
        shutil.copytree(example_files(tmp_path_factory), tmp_path, dirs_exist_ok=True)
    else:
        run_example(example, tmp_path)
    words = ["build", "--classifier", "classifier.onnx", "--train", "train.npz", "--calibration", "calibration.npz"]
    words = [str(tmp_path / word) if "." in word else word for word in words]
    with (
        build_report_not_drawn(),
        few_judged(2400),
        few_fitted(1200, adjusting=1200),
    ):  # the tutorial's own numbers take minutes
        assert main([*words, "--name", "mine", "--out", str(tmp_path / "bundles"), "--epochs", epochs]) == 0
    calibration = read_npz(tmp_path / "calibration.npz")
    with running_service(tmp_path / "bundles" / "mine" / "1") as service:
        answer = service.score(calibration["x"])
        few = service.client.post("/score", content=as_json(calibration["x"][:8]), headers=JSON).json()
        info = service.client.get("/info").json()
    missing = bool(np.isnan(calibration["x"][:8]).any())
    assert info["input"]["missing"] is missing
    assert info["judgement"]["worth_serving"]
    np.testing.assert_allclose(few["scores"], answer["scores"][:8], rtol=1e-3, atol=1e-5)
    assert np.mean(answer["is_adversarial"]) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(answer["predictions"]) == calibration["y"]) > 0.85
