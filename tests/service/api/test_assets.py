"""Files from memory: sent whole, compressed, or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from harmgauge.api.assets import Asset, read_assets
from harmgauge.page.routes import FOLDER


@pytest.fixture
def asset(tmp_path: Path) -> Asset:
    (tmp_path / "a.js").write_text("const a = 1;\n" * 100)
    return Asset.of(tmp_path / "a.js")


def test_whole_or_packed(asset: Asset) -> None:
    whole, packed = asset.answer(Headers()), asset.answer(Headers({"accept-encoding": "br, gzip"}))
    assert whole.body == gzip.decompress(bytes(packed.body)) == asset.body
    assert "content-encoding" not in whole.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(packed.body) < len(whole.body)
    assert whole.headers["content-type"] == "text/javascript; charset=utf-8"
    assert whole.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("tag", ["{}", "W/{}", '"other", {}'])
def test_who_has_it_gets_no_body(asset: Asset, tag: str) -> None:
    answer = asset.answer(Headers({"if-none-match": tag.format(asset.etag)}))
    assert (answer.status_code, answer.body) == (304, b"")
    assert answer.headers["etag"] == asset.etag


@pytest.mark.parametrize("tag", ["", '"other"', "W/"])
def test_who_has_another_gets_it(asset: Asset, tag: str) -> None:
    assert asset.answer(Headers({"if-none-match": tag})).status_code == 200


def test_the_tag_is_the_contents(tmp_path: Path) -> None:
    tags = []
    for text in ("one", "two", "one"):
        (tmp_path / "a.css").write_text(text)
        tags.append(Asset.of(tmp_path / "a.css").etag)
    assert tags[0] == tags[2] != tags[1]


def test_the_page_is_small_and_all_of_it_is_served() -> None:
    assets = read_assets(FOLDER)
    assert {"index.html", "main.js", "style.css", "favicon.svg", "vendor/uplot.min.js"} <= assets.keys()
    assert "vendor/uplot.LICENSE.txt" in assets, "the licence goes where the copy goes"
    assert sum(len(asset.body) for asset in assets.values()) < 150_000
    assert sum(len(asset.packed) for asset in assets.values()) < 60_000
