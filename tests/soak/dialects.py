"""The ways to request the score of one input over HTTP, and the exact body of each correct response."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from tests.soak.numbers import NUMBERS
from tests.soak.pictures import CLASSES, FLAGGED_FROM, SHAPE, picture, score

SCORE = "/score"
INFER = "/v2/models/toy/infer"
ROUTES = {SCORE: "/score", INFER: "/v2/models/{name}/infer"}
"""The names of the paths in metrics."""

_WANTED = ("score", "FP32"), ("predictions", "INT64")


@dataclass(frozen=True)
class Dialect:
    """`body` requests the score of a number; `answer` (of number and version) is the expected response body."""

    name: str
    path: str
    headers: dict[str, str]
    body: Callable[[int], bytes]
    answer: Callable[[int, str], bytes]

    @staticmethod
    def is_flagged(number: int) -> bool:
        return number >= FLAGGED_FROM

    def request(self, key: str) -> Callable[[int], bytes]:
        """Returns a function that makes whole messages from a head and a body."""
        body = self.body
        lines = [f"POST {self.path} HTTP/1.1", "Host: soak", f"Authorization: Bearer {key}"]
        head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.headers.items())]).encode()
        before = {len(body(number)): b"" for number in (0, 1)}
        if len(before) == 1 and self.name in ("raw", "npy", "v2-binary"):  # always of the same length
            whole = head + b"\r\nContent-Length: %d\r\n\r\n" % next(iter(before))
            return lambda number: whole + body(number)
        return lambda number: b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(made := body(number)), made)


def _score_answer(number: int, version: str) -> bytes:
    return (
        f'{{"model":"toy","version":"{version}","threshold":{score(FLAGGED_FROM - 1, version)}.0,'
        f'"scores":[{score(number, version)}.0],"is_adversarial":[{"true" if number >= FLAGGED_FROM else "false"}],'
        f'"predictions":[{number % CLASSES}]}}'
    ).encode()


def _v2_answer(number: int, version: str) -> bytes:
    return (
        f'{{"model_name":"toy","model_version":"{version}","outputs":['
        f'{{"name":"score","datatype":"FP32","shape":[1],"data":[{score(number, version)}.0]}},'
        f'{{"name":"predictions","datatype":"INT64","shape":[1],"data":[{number % CLASSES}]}}]}}'
    ).encode()


def _v2_binary_answer(number: int, version: str) -> bytes:
    return (
        f'{{"model_name":"toy","model_version":"{version}","outputs":['
        '{"name":"score","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}},'
        '{"name":"predictions","datatype":"INT64","shape":[1],"parameters":{"binary_data_size":8}}]}'
    ).encode() + struct.pack("<fq", score(number, version), number % CLASSES)


def _json(number: int) -> bytes:
    a, b, c, d, e, f, *_ = picture(number)
    return f'{{"instances":[[[[{a},{b},{c}],[{d},{e},{f}]],[[0,0,0],[0,0,0]]]]}}'.encode()


def _png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.frombuffer(picture(number), np.uint8).reshape(SHAPE)).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def _npy_head() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros((1, *SHAPE), np.uint8))
    return stream.getvalue()[: -len(picture(0))]


def _prefixed(head: bytes, number: int) -> bytes:
    return head + picture(number)


def _v2_json(number: int) -> bytes:
    tensor = {"name": "input", "datatype": "UINT8", "shape": [1, *SHAPE], "data": list(picture(number))}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": name} for name, _ in _WANTED]}).encode()


def _v2_binary_head() -> bytes:
    binary = {"parameters": {"binary_data": True}}
    tensor = {"name": "input", "datatype": "UINT8", "shape": [1, *SHAPE], "parameters": {"binary_data_size": 12}}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": name, **binary} for name, _ in _WANTED]}).encode()


def _type(media_type: str) -> dict[str, str]:
    return {"Content-Type": media_type}


RAW = Dialect("raw", SCORE, _type("application/octet-stream"), picture, _score_answer)
JSON = Dialect("json", SCORE, _type("application/json"), _json, _score_answer)
NPY = Dialect("npy", SCORE, _type("application/x-npy"), partial(_prefixed, _npy_head()), _score_answer)
PNG = Dialect("png", SCORE, _type("image/png"), _png, _score_answer)
V2_JSON = Dialect("v2-json", INFER, _type("application/json"), _v2_json, _v2_answer)
V2_BINARY = Dialect(
    "v2-binary",
    INFER,
    {**_type("application/octet-stream"), "Inference-Header-Content-Length": str(len(_v2_binary_head()))},
    partial(_prefixed, _v2_binary_head()),
    _v2_binary_answer,
)
DIALECTS = {dialect.name: dialect for dialect in (RAW, JSON, NPY, PNG, V2_JSON, V2_BINARY)}

assert NUMBERS <= 2**24, "three bytes tell a number"
