"""Relative links and anchors in the repository's Markdown have targets, and the index of docs/ is complete."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import ROOT
from tests.support.markdown import CODE, FENCE, tracked

PAGES = tracked("*.md")
INDEX = ROOT / "docs" / "README.md"
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def without_code(text: str) -> str:
    """The text without fenced blocks and code spans, whose contents may look like links."""
    return CODE.sub("", FENCE.sub("", text))


def links(text: str) -> list[str]:
    return [link for link in LINK.findall(without_code(text)) if not ELSEWHERE.match(link)]


def anchors(text: str) -> set[str]:
    """The anchors of the headings as on GitHub: lower case, no punctuation, - for a blank, -1 for a duplicate."""
    found: dict[str, int] = {}
    names = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", FENCE.sub("", text), re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        twins = found.get(slug, 0)
        found[slug] = twins + 1
        names.add(f"{slug}-{twins}" if twins else slug)
    return names


@functools.cache
def anchors_of(path: Path) -> set[str]:
    return anchors(path.read_text())


def broken(page: Path) -> list[str]:
    """The links of this page without a target."""
    wrong = []
    for link in links(page.read_text()):
        address, _, anchor = unquote(link).partition("#")
        target = (page.parent / address).resolve() if address else page
        inside = target.is_relative_to(ROOT.resolve()) and target.exists()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert broken((ROOT / name).resolve()) == []


def test_the_index_leads_to_every_page() -> None:
    linked = {(INDEX.parent / link.partition("#")[0]).resolve() for link in links(INDEX.read_text())}
    pages = {(ROOT / name).resolve() for name in PAGES if name.startswith("docs/")}
    assert sorted(map(str, pages - linked - {INDEX.resolve()})) == []


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_docs_links.ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# A page\n\n## What is `p`, and why?\n\n## Twin\n\n## Twin\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[good](there.md) [good](there.md#what-is-p-and-why) [good](#here) [good](there.md#twin-1)\n"
        "[`code` good](there.md#a-page) ![good](<there.md>) [good](https://example.org/x.md#y) `[no link](gone.md)`\n"
        "```\n[no link](gone.md)\n# no heading\n```\n"
        "[dead](gone.md) [dead](there.md#gone) [dead](#no-heading) [outside](../../etc/passwd)\n"
    )
    assert broken(page) == ["gone.md", "there.md#gone", "#no-heading", "../../etc/passwd"]
