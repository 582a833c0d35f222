"""The contact sheet: its content, and that names chosen by clients stay plain text."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.sheet import MAX_BARS, THUMBNAIL_PIXELS, picture, sheet

RGB = InputSpec(dtype="uint8", shape=(2, 3, 3), image=ImageSpec(mode="RGB", layout="HWC", scale=1))


class Elements(HTMLParser):
    """Every element's name and attributes, and all text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def row_of(values: Rows, spec: InputSpec, **others: Any) -> dict[str, Any]:
    return {
        "time": datetime(2026, 11, 21, 8, 30, tzinfo=UTC),
        "request_id": "r1",
        "row": 3,
        "key_name": None,
        "model": "toy",
        "version": "1",
        "score": 7.25,
        "threshold": 0.5,
        "class_name": "cat",
        "input": values.tobytes(),
        "input_spec": spec.model_dump_json(exclude_none=True),
    } | others


def test_a_picture_is_shown_pixel_by_pixel_with_what_is_known_of_it() -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14
    found = Elements(sheet("Flagged", [row_of(pixels, RGB)], "1 of 1"))
    (image,) = found.named("img")
    assert image["alt"] == "cat, score 7.25"
    head, _, data = (image["src"] or "").partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)
    text = " ".join(found.text)
    for said in ("7.25", "cat", "2026-11-21 08:30:00 UTC", "r1, row 3", "toy/1", "0.5", "1 of 1"):
        assert said in text


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pictures_of_every_layout_and_scale_look_the_same(mode: Any, layout: Any, dtype: Any) -> None:
    channels = 1 if mode == "L" else 3
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, channels), np.uint8)
    scale = 1.0 if dtype == "uint8" else 1 / 255
    values = (pixels * scale).astype(dtype)
    values = values.transpose(2, 0, 1) if layout == "CHW" else values
    spec = InputSpec(dtype=dtype, shape=values.shape, image=ImageSpec(mode=mode, layout=layout, scale=scale))
    drawn = np.asarray(picture(values, spec))
    np.testing.assert_array_equal(drawn if channels == 3 else drawn[:, :, None], pixels)


def test_a_large_picture_becomes_a_thumbnail() -> None:
    spec = InputSpec(dtype="uint8", shape=(300, 600, 3), image=ImageSpec(mode="RGB", layout="HWC", scale=1))
    assert picture(np.zeros((300, 600, 3), np.uint8), spec).size == (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS // 2)


def test_numbers_are_bars_from_zero_and_stand_below() -> None:
    spec = InputSpec(dtype="float32", shape=(4,))
    found = Elements(sheet("Flagged", [row_of(np.array([3, -1, 0, 1], np.float32), spec)], ""))
    bars = [(float(bar["y"] or "nan"), float(bar["height"] or "nan")) for bar in found.named("rect")]
    assert bars == [(0, 75), (75, 25), (75, 0.5), (50, 25)]
    assert "3 -1 0 1" in found.text


def test_what_is_missing_leaves_a_gap() -> None:
    spec = InputSpec(dtype="float32", shape=(3,), missing=True)
    for values, shown in (([3, np.nan, 1], "3 missing 1"), ([np.nan] * 3, "missing missing missing")):
        found = Elements(sheet("Flagged", [row_of(np.array(values, np.float32), spec)], ""))
        assert [bar["x"] for bar in found.named("rect")] == [str(at) for at in range(3) if values[at] == values[at]]
        assert shown in found.text


def test_of_many_numbers_the_first_are_shown() -> None:
    spec = InputSpec(dtype="int64", shape=(20, 50))
    found = Elements(sheet("Flagged", [row_of(np.zeros((20, 50), np.int64), spec)], ""))
    assert len(found.named("rect")) == MAX_BARS
    assert any("1000 in total" in text for text in found.text)


@settings(deadline=None)
@given(st.text(max_size=30), st.sampled_from(["request_id", "class_name", "key_name", "version"]))
def test_whatever_a_name_holds_it_is_text_and_no_markup(name: str, field: str) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    plain = Elements(sheet("Flagged", [row_of(pixels, RGB, **{field: "x"})], ""))
    evil = f'"><script>alert(1)</script>{name}<img src=x onerror="alert(1)">'
    found = Elements(sheet("Flagged", [row_of(pixels, RGB, **{field: evil})], ""))
    assert [name for name, _ in found.elements] == [name for name, _ in plain.elements]
    assert [set(attributes) for _, attributes in found.elements] == [
        set(attributes) for _, attributes in plain.elements
    ]
    assert "<script>alert(1)</script>" in "".join(found.text)
