"""README's text."""

from __future__ import annotations

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
