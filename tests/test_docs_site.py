"""The site of docs/: it builds strictly, its links lead somewhere, and a browser loads nothing from elsewhere."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import cached_property
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from tests.conftest import ROOT
from tests.support.browser import running_browser
from tests.support.readme import page

ELSEWHERE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
LOADED = {"src", "srcset", "poster", "data"}
"""Attributes whose address a browser loads by itself; and `href` of <link>."""


class Document(HTMLParser):
    """What a page of the site links to and loads, its ids, and the text of its paragraphs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.paragraphs: list[str] = []
        self._in_paragraph = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        addresses = [given[name] for name in sorted(LOADED & set(given))]
        if "href" in given:
            (addresses if tag == "link" else self.links).append(given["href"])
        self.loaded += addresses
        if tag == "p":
            self.paragraphs.append("")
        self._in_paragraph = tag == "p" or (self._in_paragraph and tag != "pre")

    def handle_endtag(self, tag: str) -> None:
        self._in_paragraph = self._in_paragraph and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._in_paragraph:
            self.paragraphs[-1] += data


class Site:
    """A built site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def documents(self) -> dict[Path, Document]:
        return {path: Document(path.read_text()) for path in sorted(self.folder.rglob("*.html"))}

    def dead(self, place: Path, link: str) -> bool:
        """Whether a link of the page at `place` leads nowhere on the site. Those of 404.html begin at the root."""
        address, _, anchor = unquote(link).partition("#")
        if ELSEWHERE.match(link) or link.startswith(("data:", "mailto:")):
            return False
        begin = self.folder if address.startswith("/") else place.parent
        target = (begin / address.lstrip("/")).resolve() if address else place
        target = target / "index.html" if target.is_dir() else target
        if not target.is_relative_to(self.folder) or not target.is_file():
            return True
        return bool(anchor) and target in self.documents and anchor not in self.documents[target].ids


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    if not (ROOT / ".venv-docs" / "installed").exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have what makes the site: make install-docs")
        pytest.skip("what makes the site is not installed: make install-docs")
    folder = tmp_path_factory.mktemp("made") / "site"
    done = subprocess.run(["make", "docs", f"SITE={folder}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"built {folder}; next: " in done.stdout
    return Site(folder.resolve())


def test_every_link_and_anchor_leads_somewhere(site: Site) -> None:
    assert len(site.documents) > 40
    for place, document in site.documents.items():
        assert [link for link in document.links + document.loaded if site.dead(place, link)] == [], place


def test_files_beside_docs_are_on_it(site: Site) -> None:
    index = site.documents[site.folder / "index.html"]
    assert {"repository/index.html#start", "repository/CONTRIBUTING.html"} <= set(index.links)
    assert "../install.html" in site.documents[site.folder / "repository" / "index.html"].links


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text('<h1 id="here">A</h1><a href="#here">B</a>')
    found = Site(tmp_path)
    links = ["there.html", "there.html#here", "/there.html", "https://example.org/x", "gone.html", "there.html#gone"]
    assert [link for link in links if found.dead(tmp_path / "index.html", link)] == ["gone.html", "there.html#gone"]
    assert found.dead(tmp_path / "index.html", "../there.html")


def test_nothing_on_it_is_loaded_from_elsewhere(site: Site) -> None:
    for place, document in site.documents.items():
        assert [address for address in document.loaded if ELSEWHERE.match(address)] == [], place
        inline = re.findall(r"<script[^>]*>(.*?)</script>", place.read_text(), re.DOTALL)
        assert not any("http" in script for script in inline), place
    for path in site.folder.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", path.read_text()), path
    for path in site.folder.rglob("*.js"):
        assert not re.findall(
            r"(?:import|importScripts|fetch|open|src\s*=)[\s(]*['\"`](?:https?:)?//.*", path.read_text()
        )


def test_lists_are_lists_as_on_github(site: Site) -> None:
    """GitHub lets a list follow a paragraph without a blank line between them; the site's Markdown does not."""
    for place, document in site.documents.items():
        for text in document.paragraphs:
            assert not re.search(r"\n\s*(?:[-*+|]|\d+\.) ", text), f"{place}: {text[:200]}"


def test_the_navigation_is_the_index_of_docs() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    given = {name: list(leaves(entries)) for part in nav[1:] for name, entries in part.items()}
    parts = re.findall(r"^## ([\w -]+): .*?\n(.*?)(?=^## |\Z)", page("README.md"), re.MULTILINE | re.DOTALL)
    expected: dict[str, list[str]] = {}
    for name, text in parts:
        seen = [found for pages in expected.values() for found in pages]
        links = [link.replace("../", "repository/") for link in re.findall(r"\]\(([^)#]+)[)#]", text)]
        expected[name] = list(dict.fromkeys(link for link in links if link not in seen))
    assert list(expected) == ["Tutorials", "How-to guides", "Reference", "Explanation"]
    assert given == expected


def leaves(entry: object) -> Iterator[str]:
    """The pages of an entry of the navigation, in order."""
    if isinstance(entry, str):
        yield entry
    else:
        assert isinstance(entry, list | dict)
        for inner in entry if isinstance(entry, list) else entry.values():
            yield from leaves(inner)


def test_a_browser_reads_and_searches_it_without_a_network(site: Site) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site.folder)))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    requested: list[str] = []
    try:
        with running_browser() as browser:
            tab = browser.new_page()
            tab.on("request", lambda request: requested.append(request.url))
            tab.goto(f"{address}index.html?q=e-detector")  # as typed into the field, once the index is read
            tab.locator("#properdocs-search-results a", has_text=re.compile("^score_evidence$")).first.click()
            tab.wait_for_url(f"{address}drift.html#score_evidence")
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert any(url.endswith("/search_index.json") for url in requested)
    assert all(url.startswith((address, "data:")) for url in requested)
