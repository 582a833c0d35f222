"""The report: a self-contained file, and plots for a README."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from harmgauge_models.evaluation.evaluate import NUMBERS_FILE, PAGE_FILE, PLOT_FILES
from harmgauge_models.evaluation.examples import SHOWN
from harmgauge_models.evaluation.figures import FIGURES
from harmgauge_models.evaluation.plan import QUICK
from harmgauge_models.evaluation.tables import table

VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """Collects attributes and texts, and fails if elements are not closed in the order in which they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def text(evaluated: Path) -> str:
    return (evaluated / PAGE_FILE).read_text()


@pytest.fixture
def reader(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_it_is_well_formed_and_small_and_its_ids_are_unique(text: str, reader: Reader) -> None:
    assert reader.open == []
    assert len(text) < 1_500_000
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    figures = len(FIGURES) - 1  # none of periods
    assert reader.tags.count("svg") == figures
    assert reader.tags.count("table") >= figures


def test_it_speaks_of_no_outside_address(text: str, reader: Reader) -> None:
    assert not re.search(r"https?:|[\"'(]//|@import", text)
    for name, value in reader.attributes:
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith(("data:image/png;base64,", "#"))
    assert not {"script", "link", "iframe"} & set(reader.tags)


def test_every_picture_decodes_and_is_of_the_bundles_size(reader: Reader) -> None:
    sources = [value for name, value in reader.attributes if name == "src"]
    assert len(sources) == 2 * 2 * min(SHOWN, len(QUICK.kinds))
    for source in sources:
        picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        picture.load()
        assert (picture.size, picture.mode) == ((16, 16), "RGB")


def test_references_inside_the_plots_find_their_parts(text: str, reader: Reader) -> None:
    ids = {value for name, value in reader.attributes if name == "id"}
    wanted = {value[1:] for name, value in reader.attributes if name == "xlink:href"}
    wanted |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert wanted
    assert wanted <= ids


def test_plots_take_the_pages_colours(text: str) -> None:
    assert "currentColor" in text
    assert "#010203" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_the_numbers_of_quality_json(evaluated: Path, text: str) -> None:
    quality = json.loads((evaluated / NUMBERS_FILE).read_text())
    for level in quality["severity"].values():
        assert f"<td>{level['roc_auc']['score']:.3f}</td>" in text
        for accuracy in level["accuracy_by_kind"].values():
            assert f"<td>{accuracy:.1%}</td>" in text
    assert "This was a quick run" in text


def test_the_plots_for_a_readme_are_pictures(evaluated: Path) -> None:
    for file in PLOT_FILES.values():
        with Image.open(evaluated / file) as picture:
            picture.load()
            assert picture.size[0] > 800


def test_tables_escape_what_they_show() -> None:
    assert "<td>&lt;b&gt;&amp;</td>" in table("a < b", ["x", "y"], [["1", "<b>&"]])
