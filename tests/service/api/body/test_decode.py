"""Every body reader: the bodies that it accepts, its clear errors for others, and that no other error occurs."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.api.body.media import JSON, NPY, RAW
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError, UnknownMediaType, Unprocessable, Unreadable
from tests.support.bodies import FLOATS, IMAGES, NAN, PIXELS, as_json, npy, picture, read
from tests.support.toy import instances

UNIT = InputSpec(
    dtype="float32", shape=(1, 4, 5), minimum=0, maximum=1, image=ImageSpec(mode="L", layout="CHW", scale=1 / 255)
)


def rows(body: bytes, media_type: str, spec: InputSpec = PIXELS) -> npt.NDArray[Any]:
    found = read(body, media_type, {}, spec).instances
    assert found.dtype == spec.numpy_dtype
    assert found.flags.c_contiguous
    return found


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (as_json(IMAGES.tolist()), JSON),
        (as_json(IMAGES.astype(float).tolist()), "application/json; charset=utf-8"),
        (npy(IMAGES), NPY),
        (npy(np.asfortranarray(IMAGES)), NPY),
        (npy(IMAGES.astype(">i8")), NPY),
        (npy(IMAGES.astype(np.float64)), NPY),
        (IMAGES.tobytes(), RAW),
    ],
)
def test_the_same_instances_by_every_way(body: bytes, media_type: str) -> None:
    np.testing.assert_array_equal(rows(body, media_type), IMAGES)


def test_raw_bytes_and_npy_are_not_copied() -> None:
    for body, media_type in ((IMAGES.tobytes(), RAW), (npy(IMAGES), NPY)):
        assert not rows(body, media_type).flags.owndata


def test_pictures() -> None:
    np.testing.assert_array_equal(rows(picture(IMAGES[0]), "image/png")[0], IMAGES[0])
    jpeg = rows(picture(np.full((4, 5, 3), 90, np.uint8), "JPEG", quality=95), "image/jpeg")
    assert np.abs(jpeg.astype(int) - 90).max() <= 2
    opaque = np.concatenate([IMAGES[0], np.full((4, 5, 1), 255, np.uint8)], 2)
    np.testing.assert_array_equal(rows(picture(opaque), "image/png")[0], IMAGES[0])
    grey = IMAGES[0, :, :, 0]
    np.testing.assert_array_equal(rows(picture(grey), "image/png")[0], np.repeat(grey[:, :, None], 3, 2))
    np.testing.assert_allclose(rows(picture(grey), "image/png", UNIT)[0, 0], grey / 255, atol=1e-6)


def test_float_inputs_keep_their_values() -> None:
    values = np.array([[0.1, -1e30, 3], [1, 2, 3]], np.float32)
    for body, media_type in (
        (as_json(values.tolist()), JSON),
        (npy(values.astype(np.float64)), NPY),
        (values.tobytes(), RAW),
    ):
        np.testing.assert_array_equal(rows(body, media_type, FLOATS), values)
    np.testing.assert_array_equal(rows(as_json([[1, 2, 10**30]]), JSON, FLOATS), np.array([[1, 2, 1e30]], np.float32))


def with_value(value: object) -> bytes:
    changed = IMAGES[:2].tolist()
    changed[1][2][0][1] = value
    return as_json(changed)


SEEN_THROUGH = np.concatenate([IMAGES[0], np.full((4, 5, 1), 254, np.uint8)], 2)

BAD: list[tuple[bytes, str, InputSpec, type[RequestError], str]] = [
    (b"", JSON, PIXELS, Unreadable, "empty"),
    (b"", RAW, PIXELS, Unreadable, "empty"),
    (b'{"instances": [', JSON, PIXELS, Unreadable, "cannot be read as JSON"),
    (b"\xff\xfe", JSON, PIXELS, Unreadable, "cannot be read as JSON"),
    (b'{"instances": [[NaN, 1, 2]]}', JSON, FLOATS, Unreadable, "cannot be read as JSON"),
    (b'{"instances": [[Infinity, 1, 2]]}', JSON, FLOATS, Unreadable, "cannot be read as JSON"),
    (b"[1, 2]", JSON, PIXELS, Unprocessable, 'must be an object like {"instances"'),
    (b"{}", JSON, PIXELS, Unprocessable, "must be an object"),
    (b"null", JSON, PIXELS, Unprocessable, "must be an object"),
    (as_json([], extra=1), JSON, PIXELS, Unprocessable, "Unknown field 'extra'"),
    (as_json([]), JSON, PIXELS, Unprocessable, "got an empty list"),
    (as_json({"a": 1}), JSON, PIXELS, Unprocessable, "instances: expected a list of instances, got an object"),
    (as_json(5), JSON, PIXELS, Unprocessable, "instances: expected a list of instances, got 5"),
    (as_json(IMAGES[0].tolist()), JSON, PIXELS, Unprocessable, "expected 4 elements, got 5"),
    (with_value(None), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a number, got null"),
    (with_value("7"), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a number, got the string '7'"),
    (with_value(True), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a number, got true"),
    (with_value([1]), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a number, got a list"),
    (with_value(256), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a number from 0 to 255, got 256."),
    (with_value(-1), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a number from 0 to 255, got -1."),
    (with_value(0.5), JSON, PIXELS, Unprocessable, "instances[1][2][0][1]: expected a whole number, got 0.5."),
    (with_value(10**400), JSON, PIXELS, Unreadable, "the number 1" + "0" * 39 + "... at line 1 column"),
    (b'{"instances": [[1e400, 1, 2]]}', JSON, FLOATS, Unreadable, "1e400 at line 1 column 17 is out of range"),
    (with_value(0.99999999), JSON, PIXELS, Unprocessable, "expected a whole number, got 0.99999999."),
    (with_value(254.9999999), JSON, PIXELS, Unprocessable, "expected a whole number, got 254.9999999."),
    (with_value(1234567), JSON, PIXELS, Unprocessable, "got 1234567."),
    (with_value(2**64 - 1), JSON, PIXELS, Unprocessable, "got 18446744073709551615."),
    (with_value(2**64), JSON, PIXELS, Unprocessable, "got 1.8446744073709552e+19."),
    (with_value("7" * 99), JSON, PIXELS, Unprocessable, f"got the string '{'7' * 40}'..."),
    (as_json(np.full((1, 1, 4, 5), 1.0000001).tolist()), JSON, UNIT, Unprocessable, "from 0 to 1, got 1.0000001."),
    (npy(np.full((1, 1, 4, 5), 1.0000001)), NPY, UNIT, Unprocessable, "from 0 to 1, got 1.0000001."),
    (np.full(20, 1.0000001, "<f4").tobytes(), RAW, UNIT, Unprocessable, "from 0 to 1, got 1.0000001."),
    (np.full(20, -0.1, "<f4").tobytes(), RAW, UNIT, Unprocessable, "from 0 to 1, got -0.1."),
    (as_json([[[[1, 2]]]]), JSON, PIXELS, Unprocessable, "instances[0]: expected 4 elements, got 1."),
    (
        as_json([*IMAGES.tolist(), IMAGES[0, 1:].tolist()]),
        JSON,
        PIXELS,
        Unprocessable,
        "[3]: expected 4 elements, got 3.",
    ),
    (as_json([[1, 2, 1e39]]), JSON, FLOATS, Unprocessable, "instances[0][2]: expected a finite float32, got 1e+39."),
    (b"[" * 5000, JSON, PIXELS, Unreadable, "cannot be read as JSON"),
    (NAN, NPY, FLOATS, Unprocessable, "instances[0][1]: expected a finite float32, got nan; this input accepts"),
    (
        npy(np.array([[1, 2, np.inf]])),
        NPY,
        FLOATS,
        Unprocessable,
        "instances[0][2]: expected a finite float32, got inf.",
    ),
    (
        np.array([1, np.nan, 2], np.float32).tobytes(),
        RAW,
        FLOATS,
        Unprocessable,
        "instances[0][1]: expected a finite float32, got nan",
    ),
    (npy(np.full((1, 1, 4, 5), 1.5)), NPY, UNIT, Unprocessable, "expected a number from 0 to 1, got 1.5."),
    (npy(IMAGES + 0.5), NPY, PIXELS, Unprocessable, "a whole number"),
    (npy(np.full((1, 4, 5, 3), np.nan)), NPY, PIXELS, Unprocessable, "got nan"),
    (npy(IMAGES.astype(int) - 300), NPY, PIXELS, Unprocessable, "a number from 0 to 255"),
    (npy(IMAGES)[:-1], NPY, PIXELS, Unreadable, "declares 180 bytes of data; got 179"),
    (npy(IMAGES) + b"x", NPY, PIXELS, Unreadable, "got 181"),
    (npy(IMAGES)[:40], NPY, PIXELS, Unreadable, "not a valid .npy array"),
    (b"\x93NUMPY\x09\x00", NPY, PIXELS, Unreadable, "format version (9, 0)"),
    (npy(IMAGES[:0]), NPY, PIXELS, Unprocessable, "shape (0, 4, 5, 3)"),
    (npy(IMAGES[:, 1:]), NPY, PIXELS, Unprocessable, "(3, 3, 5, 3); expected (n, 4, 5, 3), n >= 1."),
    (npy(np.array(5)), NPY, PIXELS, Unprocessable, "has shape ()"),
    (npy(IMAGES > 5), NPY, PIXELS, Unprocessable, "dtype bool"),
    (npy(IMAGES.astype(complex)), NPY, PIXELS, Unprocessable, "dtype complex128"),
    (npy(np.array([[{"a": 1}]], dtype=object), allow_pickle=True), NPY, PIXELS, Unprocessable, "pickled objects"),
    (IMAGES.tobytes()[:-1], RAW, PIXELS, Unprocessable, "179 bytes; expected a multiple of 60"),
    (picture(IMAGES[0])[:-30], "image/png", PIXELS, Unreadable, "cannot be decoded"),
    (picture(IMAGES[0, 1:]), "image/png", PIXELS, Unprocessable, "has 5 x 3 pixels; expected 5 x 4"),
    (picture(IMAGES[0]), "image/jpeg", PIXELS, Unreadable, "not a JPEG image"),
    (picture(SEEN_THROUGH), "image/png", PIXELS, Unprocessable, "draw it on a background and save it without"),
    (picture(np.zeros((4, 5), np.uint16)), "image/png", PIXELS, Unprocessable, "16 bits per channel"),
    (b"GIF89a", "image/png", PIXELS, Unreadable, "not a PNG image"),
    (b"x", "text/plain", PIXELS, UnknownMediaType, "'text/plain' is not supported; send one of application/json"),
    (b"x", "", PIXELS, UnknownMediaType, "'' is not supported"),
    (b"x", "image/gif", PIXELS, UnknownMediaType, "image/png"),
    (picture(IMAGES[0]), "image/png", FLOATS, UnknownMediaType, "send one of application/json, application/x-npy"),
]


@pytest.mark.parametrize(("body", "media_type", "spec", "error", "message"), BAD, ids=[case[4][:40] for case in BAD])
def test_what_is_refused(
    body: bytes, media_type: str, spec: InputSpec, error: type[RequestError], message: str
) -> None:
    with pytest.raises(error) as refusal:
        read(body, media_type, {}, spec)
    assert message in refusal.value.detail


def test_one_long_text_among_numbers_costs_no_more_than_itself() -> None:
    """Numpy would make every number a text of that length: 400 MB for this body."""
    body = b'{"instances":["' + b"a" * 10_000 + b'"' + b",1" * 10_000 + b"]}"
    tracemalloc.start()
    with pytest.raises(Unprocessable, match="a list of length 4"):
        read(body, JSON, {}, PIXELS)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5_000_000


def test_64_bit_whole_numbers_keep_every_bit() -> None:
    spec = InputSpec(dtype="int64", shape=(3,))
    values = [2**53 + 1, 2**63 - 1, -(2**63)]
    for body in (as_json([values]), as_json([values], parameters={})):
        assert rows(body, JSON, spec).tolist() == [values]
    with pytest.raises(Unprocessable):
        rows(npy(np.array([[2.0**63, 0, 0]])), NPY, spec)


def test_an_npy_header_that_claims_the_world_costs_nothing() -> None:
    """numpy.load would allocate the size in the header before reading the data."""
    stream = io.BytesIO()
    shape = (10**15, *PIXELS.shape)
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with pytest.raises(Unreadable, match="declares 60000000000000000 bytes of data; got 3"):
        read(stream.getvalue() + b"abc", NPY, {}, PIXELS)


def test_large_json_is_read_plainly_or_not_at_all() -> None:
    large = instances(60_000, PIXELS.shape)
    whole = {"instances": large, "parameters": {"probabilities": True}}
    body = orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)
    assert len(body) > 4 * 2**20
    asked = read(body, JSON, {}, PIXELS)
    np.testing.assert_array_equal(asked.instances, large)
    assert asked.parameters.probabilities
    tracemalloc.start()
    for wrong in (b'{"instances":[' + b"[]," * 4_000_000 + b"[]]}", body[:-30] + b"null" + body[-26:]):
        with pytest.raises((Unprocessable, Unreadable)):
            read(wrong, JSON, {}, PIXELS)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 * len(body), "as nested lists it would take twenty times as much"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=30,
)


@settings(max_examples=300)
@given(document=ANYTHING | st.fixed_dictionaries({"instances": ANYTHING}))
def test_any_json_gives_instances_or_a_clear_refusal(document: object) -> None:
    try:
        found = read(json.dumps(document).encode(), JSON, {}, FLOATS).instances
    except RequestError as error:
        assert 400 <= error.status < 500
        assert error.detail
    else:
        assert isinstance(document, dict)
        assert found.shape == (len(document["instances"]), 3)
        assert np.isfinite(found).all()


@settings(max_examples=300)
@given(data=st.data())
def test_any_change_to_a_good_body_gives_instances_or_a_clear_refusal(data: st.DataObject) -> None:
    good, media_type = data.draw(
        st.sampled_from(
            [(npy(IMAGES), NPY), (picture(IMAGES[0]), "image/png"), (picture(IMAGES[0], "JPEG"), "image/jpeg")]
        )
    )
    body = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(body[: data.draw(st.integers(1, len(body)))]), media_type, {}, PIXELS).instances
    except RequestError as error:
        assert 400 <= error.status < 500
    else:
        assert found.shape[1:] == PIXELS.shape
