"""The text of the README and of pages in docs/."""

from __future__ import annotations

from tests.conftest import ROOT

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()


def page(name: str) -> str:
    """The text of a page, such as `reference/http.md`."""
    return (DOCS / name).read_text()
