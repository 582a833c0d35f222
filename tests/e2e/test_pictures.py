"""Images as cameras send them, over HTTP, to a bundle that resizes, crops and normalises them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmgauge_models.building.build import build
from harmgauge_models.options import Options
from tests.support.memory import MEBIBYTE, peak_bytes, resident_bytes
from tests.support.not_drawn import build_report_not_drawn
from tests.support.photographs import as_torchvision, camera_photograph, class_folders, image_file
from tests.support.process import RunningService, fresh_service
from tests.support.toy import linear_network

WIDTH, HEIGHT = 2592, 1944
MOST_PIXELS = 12_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    here = tmp_path_factory.mktemp("insects")
    with build_report_not_drawn():
        bundle = build(
            Options(
                classifier=linear_network(here / "classifier.onnx", (3, 32, 32), 2, 1, dtype="float32"),
                detector="entropy",
                calibration=class_folders(here / "images", 100),
                name="insects",
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                resize=36,
                crop=(32, 32),
                out=here,
                say=lambda _: None,
            )
        )
    with fresh_service(bundle, max_image_pixels=MOST_PIXELS, deadline_seconds=60) as running:
        yield running


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return camera_photograph(WIDTH, HEIGHT)


def post(service: RunningService, body: bytes, media_type: str, **headers: str) -> tuple[int, dict[str, object]]:
    answer = service.client.post("/score", content=body, headers={"Content-Type": media_type, **headers}, timeout=60)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(("file_format", "orientation"), [("JPEG", 1), ("JPEG", 6), ("PNG", 1), ("WEBP", 8)])
def test_a_camera_image_scores_like_the_prepared_array(
    service: RunningService, photograph: Image.Image, file_format: str, orientation: int
) -> None:
    options = {"compress_level": 1} if file_format == "PNG" else {"quality": 90}
    body = image_file(photograph, file_format, orientation, **options)
    status, answer = post(service, body, f"image/{file_format.lower()}")
    assert status == 200, answer
    array = as_torchvision(body, 36, (32, 32)).transpose(2, 0, 1)[None]
    prepared = service.score(np.ascontiguousarray(array))
    np.testing.assert_allclose(np.array(answer["scores"]), prepared["scores"], atol=1e-6)
    assert answer["predictions"] == prepared["predictions"]


def test_info_shows_what_the_bundle_does_with_images(service: RunningService) -> None:
    info = service.client.get("/info").json()
    assert info["max_image_pixels"] == MOST_PIXELS
    assert info["input"]["image"] == {"layout": "CHW", "mode": "RGB", "resize": 36, "crop": 32, "scale": 1.0}


def test_bad_images_get_errors_and_enter_no_window(service: RunningService, photograph: Image.Image) -> None:
    rows = service.score_ks()["rows"]
    good = image_file(photograph, "JPEG", quality=90)
    bomb = image_file(Image.new("RGB", (9000, 9000)), "PNG")
    for body, media_type, expected, words in (
        (bomb, "image/png", 413, "9000 x 9000 pixels; expected at most 12000000 in all (HARMGAUGE_MAX_IMAGE_PIXELS)"),
        (good[: len(good) // 2], "image/jpeg", 400, "cannot be decoded"),
        (good, "image/webp", 400, "not a WebP image"),
        (good, "image/tiff", 415, "image/webp"),
    ):
        status, answer = post(service, body, media_type)
        assert (status, words in str(answer["detail"])) == (expected, True), answer
    status, answer = post(service, good, "image/jpeg", **{"X-Harmgauge-Deadline-Seconds": "0.001"})
    assert (status, answer["code"]) == (504, "deadline_passed")
    assert service.score_ks()["rows"] == rows


def test_eight_camera_images_at_once_take_bounded_memory(service: RunningService, photograph: Image.Image) -> None:
    body = image_file(photograph, "JPEG", quality=95)
    pid = service.process.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the peak
    before = resident_bytes(pid)
    with ThreadPoolExecutor(8) as pool:
        statuses = [status for status, _ in pool.map(lambda _: post(service, body, "image/jpeg"), range(16))]
    assert statuses == [200] * 16
    assert peak_bytes(pid) - before < 400 * MEBIBYTE
