"""The text of the README and of pages in docs/, and what the README's example makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.once import once_per_run

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()


def page(name: str) -> str:
    """The text of a page, such as `reference/http.md`."""
    return (DOCS / name).read_text()


def readme_example() -> str:
    """The program that makes a classifier and its rows."""
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return str(program)


def example_files(factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's example makes; it needs only the libraries of the classifier's author."""

    def make(folder: Path) -> None:
        run_example(readme_example(), folder)

    return once_per_run(factory, "readme-example", make)


def run_example(program: str, folder: Path) -> None:
    """Run it as its reader does, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
