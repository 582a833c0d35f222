"""docs/python.md: its examples run in order, and its tables name the whole public API."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from starlette.types import Message

import harmgauge
import harmgauge_models
from harmgauge import Scorer, Settings, create_app, load_bundle
from tests.conftest import ROOT
from tests.support.process import environment
from tests.support.toy import instances

TEXT = (ROOT / "docs" / "python.md").read_text()
END = "(end of an example)"
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    return done.stdout


def test_every_example_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    # A free port, because the page's may be in use here.
    examples = [example.replace("8765", "28765") for example in EXAMPLES]
    # One process for all, which loads the libraries once; each example has only its own names.
    program = f"for example in {examples!r}:\n    exec(example, {{'__name__': '__main__'}})\n    print({END!r})"
    *outputs, _ = run(program, tmp_path).split(END + "\n")
    for example, output in zip(EXAMPLES, outputs, strict=True):
        printed = output.splitlines()
        promised = re.findall(r"^print\(.*\)  # (.+)$", example, re.MULTILINE)
        assert [line for line in printed if line in promised] == promised


@pytest.mark.parametrize("package", [harmgauge, harmgauge_models])
def test_the_public_names_are_there_and_on_the_page(package: object) -> None:
    names: list[str] = package.__all__  # type: ignore[attr-defined]  # packages have it
    assert len(names) <= 10
    for name in names:
        assert getattr(package, name) is not None
        assert name in dir(package)
        assert name == "Bundle" or f"`{name}" in TEXT
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(package, "nothing")  # noqa: B009  # a type checker would see it


def test_importing_the_packages_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("numpy", "pydantic", "torch")
    program = f"import harmgauge, harmgauge_models, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run(program, tmp_path) == "[]\n"


def test_the_scorer_gives_what_the_service_gives_and_refuses_what_it_cannot_take(image_bundle_path: Path) -> None:
    scorer = Scorer(load_bundle(image_bundle_path), "cpu")
    rows = instances(70, (4, 4, 3))
    scored = scorer.score(rows)
    assert scored.scores.shape == scored.is_adversarial.shape == (70,)
    np.testing.assert_allclose(scorer.score(rows[33:34]).scores, scored.scores[33:34], atol=1e-6)
    for bad in (rows[:0], rows[:, :3], rows.astype(np.float32), rows[0]):
        with pytest.raises(ValueError, match=r"expected rows of uint8 with shape \(n, 4, 4, 3\), n >= 1, got"):
            scorer.score(bad)


def test_the_scorer_refuses_values_that_the_service_refuses(vector_bundle_path: Path) -> None:
    scorer = Scorer(load_bundle(vector_bundle_path), "cpu")
    rows = instances(2, (5,), "float32")
    assert np.isfinite(scorer.score(rows).scores).all()
    rows[1, 2] = np.nan
    with pytest.raises(ValueError, match="expected finite values"):
        scorer.score(rows)


def test_the_application_starts_and_ends_with_its_servers_lifespan(image_bundle_path: Path) -> None:
    statuses, said = [], []

    async def test() -> None:
        app = create_app(Settings(bundle=image_bundle_path))
        incoming: asyncio.Queue[Message] = asyncio.Queue()
        started = asyncio.Event()

        async def send(message: Message) -> None:
            said.append(message["type"])
            started.set()

        living = asyncio.ensure_future(app({"type": "lifespan"}, incoming.get, send))
        await incoming.put({"type": "lifespan.startup"})
        await started.wait()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/readyz",
            "scheme": "http",
            "query_string": b"",
            "headers": [],
        }
        await app(scope, incoming.get, answer)
        await incoming.put({"type": "lifespan.shutdown"})
        await living

    asyncio.run(test())
    assert statuses == [200]
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_application_that_cannot_start_says_why(tmp_path: Path) -> None:
    said: list[Message] = []

    async def test() -> None:
        async def receive() -> Message:
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            said.append(message)

        await create_app(Settings(bundle=tmp_path / "nowhere"))({"type": "lifespan"}, receive, send)

    asyncio.run(test())
    assert [message["type"] for message in said] == ["lifespan.startup.failed"]
    assert "nowhere" in said[0]["message"]
