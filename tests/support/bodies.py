"""Request bodies for `/score`, and helpers that read them."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from harmgauge.api.body import decode
from harmgauge.api.body.decode import ScoreRequest
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from tests.support.toy import instances

PIXELS = InputSpec(
    dtype="uint8", shape=(4, 5, 3), minimum=0, maximum=255, image=ImageSpec(mode="RGB", layout="HWC", scale=1)
)
FLOATS = InputSpec(dtype="float32", shape=(3,))
IMAGES = instances(3, PIXELS.shape)


def read(body: bytes, content_type: str, query: dict[str, bool], spec: InputSpec) -> ScoreRequest[Rows]:
    return decode.read(body, decode.media_type(content_type, spec), query, spec)


def as_json(instances: object, **more: object) -> bytes:
    return json.dumps({"instances": instances, **more}).encode()


def npy(array: npt.NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def picture(array: npt.NDArray[Any], file_format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, file_format, **options)
    return stream.getvalue()


NAN = npy(np.array([[1, np.nan, 2]], np.float32))
