"""The examples of docs/text.md: the pipeline's becomes a bundle that scores texts; the transformer's is Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harmgauge.cli.main import main
from tests.support.few_rows import few_fitted, few_judged
from tests.support.not_drawn import build_report_not_drawn
from tests.support.process import running_service
from tests.support.readme import page

TRANSFORMER, PIPELINE = re.findall(r"```python\n(.*?)```", page("text.md"), re.DOTALL)
COMMANDS = re.findall(r"harmgauge build (.*)", page("text.md"))

HAM = ("see you at lunch", "are you coming home", "ok thanks a lot", "meeting moved to five", "call me when you can")
SPAM = ("win a free prize now", "text win to claim cash", "free entry in our draw", "urgent your prize awaits")


def messages(rows: int, seed: int) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Made-up messages, (n,), and their classes; some words occur in both."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(rows):
        own, other = (SPAM, HAM) if random.random() < 0.3 else (HAM, SPAM)
        words = [*random.choice(own).split(), *random.choice(own).split(), *random.choice(other).split()[:2]]
        texts.append(" ".join(random.permutation(words)))
        labels.append("spam" if own is SPAM else "ham")
    return np.array(texts), np.array(labels)


def test_the_transformer_is_valid_python_and_writes_what_the_command_reads() -> None:
    compile(TRANSFORMER, "docs/text.md", "exec")
    for file in re.findall(r"\S+\.(?:onnx|json)\b", COMMANDS[0]):
        assert f'"{file}"' in TRANSFORMER


def test_the_pipelines_bundle_scores_texts(tmp_path: Path) -> None:
    for name, rows, seed in (("train", 400, 0), ("calibration", 250, 1)):
        texts, labels = messages(rows, seed)
        np.savez(tmp_path / f"sms-{name}.npz", text=texts, y=labels)
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    words = [str(tmp_path / word) if "." in word else word for word in COMMANDS[1].split()]
    with build_report_not_drawn(), few_judged(), few_fitted(1000, adjusting=500):
        assert main(["build", *words, "--out", str(tmp_path / "bundles"), "--epochs", "1", "--keep"]) == 0
    with running_service(tmp_path / "bundles" / "sms-tfidf" / "1") as service:
        body = {"instances": [{"text": "free prize text win now"}, {"text": "see you at lunch"}]}
        answer = service.client.post("/score", json=body).json()
        refused = service.client.post("/score", json={"instances": [{"message": "see you"}]})
    assert answer["predictions"] == [1, 0]
    assert refused.status_code == 422
