"""Images of any size for a bundle that resizes them: bounds, hostile files, and what the errors explain."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmgauge.api.body.decode import is_large, media_type
from harmgauge.api.body.images import read_image
from harmgauge.api.body.media import IMAGES as FORMATS
from harmgauge.api.body.picture_room import PictureRoom
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import DeadlinePassed, TooLarge, UnknownMediaType, Unprocessable, Unreadable
from tests.support.jpegs import encoded, with_scans

MOST = 1_000_000
NORMALISED = ImageSpec(
    mode="RGB", layout="CHW", resize=40, crop=32, scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
SPEC = InputSpec(dtype="float32", shape=(3, 32, 32), minimum=-3, maximum=3, image=NORMALISED)


def photo(width: int, height: int) -> Image.Image:
    """Smooth colours."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 31 + phase) * np.cos(y / 17 - phase) for phase in (0, 1, 2)]
    return Image.fromarray((127.5 + 120 * np.stack(waves, -1)).astype(np.uint8))


def saved(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def score_rows(body: bytes, file_format: str, room: PictureRoom | None = None) -> Any:
    return read_image(body, file_format, SPEC, room=room or PictureRoom(MOST))


@pytest.mark.parametrize("file_format", FORMATS.values())
def test_it_becomes_the_array_that_torchvision_would_make(file_format: str) -> None:
    body = saved(photo(300, 200), file_format)
    picture = Image.open(io.BytesIO(body)).convert("RGB").resize((60, 40), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture.crop((14, 4, 46, 36))).astype(np.float32)
    expected = (pixels / 255 - np.array(NORMALISED.mean, np.float32)) / np.array(NORMALISED.std, np.float32)
    found = score_rows(body, file_format)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1), atol=1e-6)


def test_it_is_always_read_on_a_thread() -> None:
    assert is_large(100, "image/png", SPEC)


@pytest.mark.parametrize("file_format", FORMATS.values())
def test_a_bomb_is_refused_before_it_is_decoded(file_format: str) -> None:
    bomb = saved(Image.new("RGB", (8000, 8000)), file_format, method=0, compress_level=1)  # quick to write
    began = time.thread_time()
    with pytest.raises(
        TooLarge, match="8000 x 8000 pixels; expected at most 1000000 in all .HARMGAUGE_MAX_IMAGE_PIXELS"
    ):
        score_rows(bomb, file_format)
    assert time.thread_time() - began < 0.05


def test_extreme_proportions_are_refused_before_they_are_resized() -> None:
    with pytest.raises(Unprocessable, match="30000 x 1 pixels, 1200000 x 40 after .* less extreme proportions"):
        score_rows(saved(Image.new("RGB", (30_000, 1)), "PNG"), "PNG")


def test_a_small_picture_is_enlarged() -> None:
    assert score_rows(saved(photo(5, 4), "PNG"), "PNG").shape == (1, 3, 32, 32)


@pytest.mark.parametrize("file_format", FORMATS.values())
def test_truncated_files_are_refused(file_format: str) -> None:
    body = saved(photo(300, 200), file_format)
    for share in (0.02, 0.3, 0.9):
        with pytest.raises((Unreadable, Unprocessable)):
            score_rows(body[: int(len(body) * share)], file_format)
    assert score_rows(body, file_format).shape == (1, 3, 32, 32)


def test_a_file_far_larger_than_its_pixels_is_refused() -> None:
    body = saved(photo(30, 20), "JPEG")
    with pytest.raises(TooLarge, match="for its size in pixels"):
        score_rows(
            body[:2] + b"\xff\xfe\xff\xff" + bytes(0xFFFD) + b"\xff\xfe\xff\xff" + bytes(0xFFFD) + body[2:], "JPEG"
        )


def test_a_decode_of_many_scans_ends_when_nobody_waits() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    body = with_scans(pixels, 64, long=True)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise DeadlinePassed("enough")

    room = PictureRoom(MOST)
    with pytest.raises(DeadlinePassed, match="enough"):
        read_image(body, "JPEG", SPEC, check, room)
    with room.taken(MOST):  # the room is free again
        pass


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        ({}, (33, 32), "33 x 32 pixels; expected 32 x 32: .*built with --resize and --crop"),
        ({"crop": 32}, (33, 31), "33 x 31 pixels; expected at least 32 x 32: send a larger one"),
        ({"resize": 32}, (64, 32), "64 x 32 after its shorter side is resized to 32; expected .* other proportions"),
    ],
)
def test_an_error_explains_what_the_bundle_takes(image: dict[str, Any], size: tuple[int, int], message: str) -> None:
    spec = InputSpec(dtype="uint8", shape=(32, 32, 3), image=ImageSpec(mode="RGB", layout="HWC", **image))
    with pytest.raises(Unprocessable, match=message):
        read_image(encoded(np.zeros((size[1], size[0], 3), np.uint8)), "JPEG", spec)


def test_a_bundle_without_preparation_explains_how_to_add_it() -> None:
    served = InputSpec(dtype="float32", shape=(3, 224, 224))
    with pytest.raises(UnknownMediaType, match=r"\(3, 224, 224\) and does not describe .* --scale, --mean and --std"):
        media_type("image/jpeg", served)
    with pytest.raises(UnknownMediaType) as refused:
        media_type("image/jpeg", InputSpec(dtype="float32", shape=(14,)))
    assert "--mean" not in refused.value.detail


def test_room_is_given_in_the_order_of_arrival_and_never_exceeded() -> None:
    room, taken, order = PictureRoom(10), 0, []
    lock = threading.Lock()

    def work(number: int, pixels: int) -> None:
        nonlocal taken
        with room.taken(pixels):
            with lock:
                taken += pixels
                order.append(number)
                assert taken <= 10
            time.sleep(0.01)
            with lock:
                taken -= pixels

    with room.taken(10):
        threads = []
        for number, pixels in enumerate((9, 1, 10, 1, 5, 5)):
            threads.append(threading.Thread(target=work, args=(number, pixels)))
            threads[-1].start()
            while len(room._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert sorted(order[:2]) == [0, 1]
    assert order[2] == 2
    assert sorted(order[3:]) == [3, 4, 5]


def test_a_wait_for_room_ends_at_the_deadline() -> None:
    room = PictureRoom(10)

    def check() -> None:
        raise DeadlinePassed("late")

    with room.taken(8), pytest.raises(DeadlinePassed, match="late"), room.taken(3, check):
        pass
    with room.taken(10):
        pass
