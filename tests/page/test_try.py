"""An input given to the page is scored as `POST /score` scores it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page

from tests.conftest import ROOT, SHIPPED_BUNDLE
from tests.support.browser import opened
from tests.support.page_traffic import png, samples
from tests.support.process import RunningService, running_service
from tests.support.toy import instances, toy_bundle, toy_table_bundle

PICTURE = SHIPPED_BUNDLE / "report" / "corrupted.png"

HAND_OVER = """([how, data, type, name]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
    const options = { bubbles: true, cancelable: true };
    const event = how === "drop"
        ? new DragEvent("drop", { ...options, dataTransfer: transfer })
        : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
    (how === "drop" ? document.querySelector("#zone") : document.body).dispatchEvent(event);
}"""


def hand_over(page: Page, how: str, body: bytes, media_type: str = "image/png", name: str = "a.png") -> None:
    """Drop or paste a file."""
    page.evaluate(HAND_OVER, [how, base64.b64encode(body).decode(), media_type, name])


def scored(service: RunningService, body: bytes, query: str = "") -> dict[str, Any]:
    answer = service.client.post(f"/score{query}", content=body, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def shown_score(page: Page) -> float:
    return float(page.locator("#score").get_attribute("data-score") or "nan")


@pytest.mark.parametrize("how", ["drop", "paste", "choose"])
def test_an_image(service: RunningService, browser: Browser, how: str) -> None:
    expected = scored(service, PICTURE.read_bytes())
    with opened(browser, service) as tab:
        if how == "choose":
            tab.page.set_input_files("#file", PICTURE)
        else:
            hand_over(tab.page, how, PICTURE.read_bytes())
        tab.page.locator("#score").wait_for()
        assert shown_score(tab.page) == expected["scores"][0]
        text = tab.page.locator("#result").inner_text()
        flag = tab.page.locator("#result .flag").get_attribute("data-flagged")
        assert flag == str(expected["is_adversarial"][0]).lower()
        assert f"flagged above {expected['threshold']:.3g}" in text
        assert service.client.get("/info").json()["class_names"][expected["predictions"][0]] in text
        assert "Scaled" not in text


def test_each_new_image_takes_the_place_of_the_last(service: RunningService, browser: Browser) -> None:
    bodies = [png(image) for image in samples().clean[:3]]
    expected = [scored(service, body)["scores"][0] for body in bodies]
    with opened(browser, service) as tab:
        for body, score in zip(bodies, expected, strict=True):
            hand_over(tab.page, "drop", body)
            tab.page.locator(f'#score[data-score="{score}"]').wait_for()
        assert tab.page.locator("#result .flag").count() == 1


def test_another_size_is_scaled_and_said_to_be(service: RunningService, browser: Browser) -> None:
    large = np.kron(samples().clean[0], np.ones((3, 4, 1), np.uint8))
    with opened(browser, service) as tab:
        hand_over(tab.page, "drop", png(large))
        tab.wait_for("#result .note", "Scaled from 128 × 96 to 32 × 32 pixels")
        assert np.isfinite(shown_score(tab.page))


def tagged(pixels: npt.NDArray[np.uint8], orientation: int, file_format: str) -> bytes:
    """A photo as a phone writes it: rotated, with a tag that gives its orientation."""
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    Image.fromarray(pixels).save(stream, file_format, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_photo_that_lies_has_one_score(image_service: RunningService, browser: Browser, file_format: str) -> None:
    """The page shows it upright, and it is scored upright, by the page and by `POST /score`."""
    lying = instances(1, (4, 4, 3))[0]
    media_type = f"image/{file_format.lower()}"
    headers = {"Content-Type": media_type}
    with opened(browser, image_service) as tab:
        for orientation in (1, 3, 6):
            body = tagged(lying, orientation, file_format)
            seen = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(body))))
            score = image_service.score(seen[None])["scores"][0]
            assert image_service.client.post("/score", content=body, headers=headers).json()["scores"] == [score]
            hand_over(tab.page, "drop", body, media_type)
            tab.page.locator(f'#score[data-score="{score}"]').wait_for()
            shown = tab.page.evaluate(
                "() => [...document.querySelector('#result canvas').getContext('2d').getImageData(0, 0, 4, 4).data]"
            )
            np.testing.assert_array_equal(np.reshape(shown, (4, 4, 4))[:, :, :3], seen)


def test_what_one_can_see_through_is_refused_and_what_is_opaque_scaled(
    service: RunningService, browser: Browser
) -> None:
    large = np.kron(samples().clean[0], np.ones((3, 4, 1), np.uint8))
    glass = np.concatenate([large, np.full((*large.shape[:2], 1), 200, np.uint8)], 2)
    with opened(browser, service) as tab:
        for body in (png(glass), png(glass[:32, :32])):
            hand_over(tab.page, "drop", body)
            tab.wait_for("#result .error", "transparent pixels")
            hand_over(tab.page, "drop", tagged(large[:50, :37], 6, "JPEG"), "image/jpeg")
            tab.wait_for("#result .note", "Scaled from 50 × 37 to 32 × 32 pixels")
        tab.complaints[:] = [text for text in tab.complaints if "422" not in text]


def test_what_is_no_image_is_told(service: RunningService, browser: Browser) -> None:
    with opened(browser, service) as tab:
        hand_over(tab.page, "drop", b"not at all", "image/png", "notes.png")
        tab.wait_for("#result .error", "notes.png is not an image")


def test_a_correction_where_the_bundle_offers_one(browser: Browser) -> None:
    with running_service(ROOT / "models" / "bundles" / "cifar10-resnet32-ae" / "1") as service:
        names = service.client.get("/info").json()["class_names"]
        expected = scored(service, PICTURE.read_bytes(), "?correct=true")
        with opened(browser, service) as tab:
            hand_over(tab.page, "drop", PICTURE.read_bytes())
            row = tab.page.locator("#result dl div").filter(has_text="Corrected")
            assert names[expected["corrected"][0]] in row.locator("dd").inner_text()
            assert shown_score(tab.page) == expected["scores"][0]


def test_null_for_what_is_missing(tmp_path: Path, browser: Browser) -> None:
    with running_service(toy_table_bundle(tmp_path, columns=3)) as service, opened(browser, service) as tab:
        tab.page.get_by_label("Instances as JSON: float32, each 3; null for a missing value").fill("[0, null, 2]")
        tab.page.get_by_role("button", name="Score").click()
        tab.page.locator("#score").wait_for()
        assert shown_score(tab.page) == service.score(np.array([[0, np.nan, 2]], np.float32))["scores"][0]


def test_the_chance_that_the_prediction_is_wrong(service: RunningService, browser: Browser) -> None:
    chance = scored(service, PICTURE.read_bytes(), "?error_probability=true")["error_probability"][0]
    with opened(browser, service) as tab:
        hand_over(tab.page, "drop", PICTURE.read_bytes())
        row = tab.page.locator("#result dl div").filter(has_text="Chance of error")
        assert row.locator("dd").inner_text().startswith(f"{chance * 100:.3g} %")


def test_the_chances_of_many_rows(tmp_path: Path, browser: Browser) -> None:
    rows = instances(3, (5,), "float32")
    bundle = toy_bundle(tmp_path, shape=(5,), dtype="float32", error_probability=True)
    with running_service(bundle) as service, opened(browser, service) as tab:
        tab.page.get_by_label("Instances as JSON").fill(json.dumps(rows.tolist()))
        tab.page.get_by_role("button", name="Score").click()
        tab.page.locator("#result tbody tr").nth(2).wait_for()
        heads = tab.page.locator("#result thead th").all_inner_texts()
        column = heads.index("Chance of error") + 1
        shown = tab.page.locator(f"#result tbody td:nth-child({column})").all_inner_texts()
        body = {"instances": rows.tolist(), "parameters": {"error_probability": True}}
        chances = service.client.post("/score", json=body).json()["error_probability"]
        assert shown == [f"{chance * 100:.3g} %" for chance in chances]


def test_without_chances_none_is_shown(image_service: RunningService, browser: Browser) -> None:
    with opened(browser, image_service) as tab:
        hand_over(tab.page, "drop", png(instances(1, (4, 4, 3))[0]))
        tab.page.locator("#score").wait_for()
        assert "Chance of error" not in tab.page.locator("#result").inner_text()


def test_json_for_what_takes_no_images(vector_bundle_path: Path, browser: Browser) -> None:
    rows = instances(3, (5,), "float32")
    with running_service(vector_bundle_path) as service, opened(browser, service) as tab:
        assert tab.page.locator("#zone").count() == 0
        box = tab.page.get_by_label("Instances as JSON: float32, each 5")
        assert json.loads(box.input_value()) == [[0, 0, 0, 0, 0]]
        box.fill(json.dumps(rows[0].tolist()))
        tab.page.get_by_role("button", name="Score").click()
        tab.page.locator("#score").wait_for()
        assert shown_score(tab.page) == service.score(rows[:1])["scores"][0]

        box.fill(json.dumps({"instances": rows.tolist()}))
        tab.page.get_by_role("button", name="Score").click()
        tab.page.locator("#result tbody tr").nth(2).wait_for()
        shown = tab.page.locator("#result tbody tr td:nth-child(2)").all_inner_texts()
        assert shown[0] == tab.page.evaluate(
            "async score => (await import('/page/format.js')).number(score)", service.score(rows)["scores"][0]
        )
        for text, problem in {"[1, 2": "Not valid JSON", "[[1, 2]]": "instances[0]: expected 5 elements"}.items():
            box.fill(text)
            tab.page.get_by_role("button", name="Score").click()
            tab.wait_for("#result .error", problem)
        tab.complaints[:] = [text for text in tab.complaints if "422" not in text]
