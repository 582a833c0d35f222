"""The repository's text files, and the code in Markdown, which is neither prose nor a link."""

from __future__ import annotations

import re
import subprocess

from tests.conftest import ROOT

FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
"""A fenced block."""

CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
"""A code span."""


def tracked(*patterns: str) -> list[str]:
    """The paths of files that match, sorted: those that git tracks, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in listed.stdout.split() if (ROOT / name).is_file())
