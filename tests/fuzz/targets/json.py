"""JSON score bodies: the fast reader and the general one, compared with Python's own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np

from harmgauge.api.body import decode, json_body, media
from harmgauge.api.body.decode import Parameters, ScoreRequest
from harmgauge.api.body.json_body import read_plain
from harmgauge.api.body.steps import finish
from harmgauge.bundle.rows import Rows
from harmgauge.errors import RequestError
from tests.fuzz.expected import rows_of
from tests.fuzz.mutate import NUMBERS, below_head, bytewise
from tests.fuzz.target import SPECS, Target, attempt, check_rows, split
from tests.support.toy import instances

_TOKENS = [
    *NUMBERS, b"[", b"]", b"[]", b"{", b"}", b"{}", b",", b":", b'"', b'""', b"\\", b'"\\ud800"', b'"\\u0000"',
    b'"instances"', b'"instances":[[1]],', b',"instances":1', b'"parameters"', b',"parameters":{"probabilities":true}',
    b'"parameters":{},', b',"parameters":null', b'"parameters":{"correct":null},', b'"correct"', b"true", b"false",
    b'"error_probability"', b"null", b'"a"', b'{"instances":', b"[[", b"]]", b"],[",
]  # fmt: skip


def loads(text: bytes) -> Any:
    """A document read by Python's own reader, restricted to RFC 8259 and to numbers within the range of a double.

    Raises ValueError for an invalid document, even if the error is in a value hidden by a duplicate name.
    """
    try:
        return json.loads(
            text.decode(), parse_constant=_refuse, parse_int=_whole, parse_float=_double, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("too deep") from None


def _refuse(name: str) -> None:
    raise ValueError(name)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 25 else _double(digits)


def _double(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text[:20])
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in pairs:
        _encode(name)
        _encode(value)
    return dict(pairs)


def _encode(value: Any) -> None:
    """Raises ValueError for half of a surrogate pair in a string, or in the strings of a list."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list):
        for each in value:
            _encode(each)


def _expected(body: bytes, spec: Any) -> tuple[Any, Parameters] | None:
    try:
        document = loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not document.keys() <= {"instances", "parameters"}:
        return None
    parameters = {} if document.get("parameters") is None else document["parameters"]
    if not isinstance(parameters, dict) or not parameters.keys() <= {"probabilities", "correct", "error_probability"}:
        return None
    parameters = {name: value for name, value in parameters.items() if value is not None}
    if not all(isinstance(value, bool) for value in parameters.values()):
        return None
    rows = rows_of(document.get("instances"), spec)
    return None if rows is None else (rows, Parameters(**parameters))


@patch.object(json_body, "LEAST_BYTES", 0)
def check(case: bytes) -> str:
    spec, _, body = split(case)
    expected = _expected(body, spec)
    found = attempt(lambda: decode.read(body, media.JSON, {}, spec))
    slow = attempt(lambda: json_body.read_loose(body, spec))
    if isinstance(found, RequestError):
        if not isinstance(slow, RequestError):
            assert found.code == "invalid_parameters"
            check_rows(slow[0], slow[0], spec)
        return check_rows(found, None if expected is None else expected[0], spec)
    assert expected is not None, "taken, but it is not good"
    assert isinstance(found, ScoreRequest)
    assert found.parameters == expected[1]
    assert isinstance(found.instances, np.ndarray)
    assert not isinstance(slow, RequestError), f"the general reader refuses it: {slow.detail}"
    assert np.array_equal(slow[0], found.instances, equal_nan=spec.missing), "the two readers differ"
    plain = finish(read_plain(body, spec)) is not None
    return check_rows(found.instances, expected[0], spec) + (", fast" if plain else ", general")


def _seeds() -> list[bytes]:
    made = []
    for name, spec in SPECS.items():
        for rows in (1, 2):
            x = instances(rows, spec.shape, "uint8").tolist() if spec.dtype != "float32" else _reals(rows, spec.shape)
            if name == "unit":
                x = (instances(rows, spec.shape, "uint8") / 256).tolist()
            if spec.missing:
                x = with_gaps(instances(rows, spec.shape, "float64"))
            made += [
                name.encode() + b"\n" + json.dumps(document, indent=indent).encode()
                for document in ({"instances": x}, *_asking(x))
                for indent in (None, 1)
            ]
    return made


def _asking(x: object) -> Iterator[dict[str, object]]:
    return ({"parameters": {name: True}, "instances": x} for name in ("probabilities", "error_probability"))


def with_gaps(x: Rows) -> Any:
    """Nested lists with null in place of negative numbers."""
    gaps = x.astype(object)
    gaps[x < 0] = None
    return gaps.tolist()


def _reals(rows: int, shape: tuple[int, ...]) -> Any:
    return instances(rows, shape, "float64").tolist()


TARGET = Target("json", check, _seeds(), below_head(bytewise(_TOKENS)))
