"""The fast reader: whatever it reads, the slow one reads alike; what it should not, it leaves alone."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.api.body import fast_json, json_body
from harmgauge.api.body.fast_json import read_plain
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError
from tests.support.toy import instances

PIXELS = InputSpec(dtype="uint8", shape=(2, 3), minimum=0, maximum=255)
FLOATS = InputSpec(dtype="float32", shape=(3,))
SIGNED = InputSpec(dtype="int16", shape=(2,))


def numbers_of(body: bytes, spec: InputSpec) -> Any:
    plain = read_plain(body, spec)
    assert plain is not None
    assert plain.parameters == {}
    return plain.numbers


@pytest.mark.parametrize("rows", [1, 2, 17])
@pytest.mark.parametrize("indent", [None, 1])
def test_plain_bodies_are_read(rows: int, indent: int | None) -> None:
    x = instances(rows, PIXELS.shape)
    body = json.dumps({"instances": x.tolist()}, indent=indent).encode()
    np.testing.assert_array_equal(numbers_of(body, PIXELS), x)
    real = instances(rows, FLOATS.shape, "float64") * 1e-20
    np.testing.assert_array_equal(numbers_of(json.dumps({"instances": real.tolist()}).encode(), FLOATS), real)
    signed = [[-5, 7]] * rows
    np.testing.assert_array_equal(numbers_of(json.dumps({"instances": signed}).encode(), SIGNED), signed)


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[[[1,2,3],[4,5]],[[6,7],[8,9,10,11]]]}',  # as many numbers and brackets, nested otherwise
        b'{"instances":[[[1,2,3],[4,5,6]]],"parameters":5}',
        b'{"instances":[[[1,2,3],[4,5,6]]],"instances":5}',
        b'{"instances":[[[1,2,3],[4,5,6]]],"other":[]}',
        b'{"parameters":{"instances":[[[1,2,3],[4,5,6]]]}}',
        b'["instances":[[[1,2,3],[4,5,6]]]]',
        b'{"inst1ances":[[[1,2,3],[4,5,6]]]}',
        b'{"instances":[[[1,2,3],[4,5,-6]]]}',
        b'{"instances":[[[1,2,3],[4,5,6.5]]]}',
        b'{"instances":[[[1,2,3],[4,5,true]]]}',
        b'{"instances":[[[1,2,3],[4,5,null]]]}',
        b'{"instances":[[[1,2,3],[4,5,"6"]]]}',
        b'{"instances":[[[1,2,3],[4,5,]]]}',
        b'{"instances":[[[1,2,3],[4,5,06]]]}',
        b'{"instances":[[[1,2,3],[4 4,5,6]]]}',
        b'{"instances":[[[1,2,3],[4,5,6]]]}7',
        b'{"instances":[[[1,2,3],[4,5,99999999999999999999]]]}',
        b'{"instances":[]}',
        b'{"instances":[[[1,2,3],[4,5,6]]',
        b"",
    ],
)
def test_anything_else_is_left_to_the_other_reader(body: bytes) -> None:
    assert read_plain(body, PIXELS) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"instances":%s,"parameters":{"probabilities":true}}',
        b'{ "parameters" : {"probabilities":true} , "instances" :\n %s }',
    ],
)
def test_parameters_may_stand_before_and_behind(frame: bytes) -> None:
    plain = read_plain(frame % b"[[[1,2,3],[4,5,6]]]", PIXELS)
    assert plain is not None
    assert plain.parameters == {"probabilities": True}
    assert plain.numbers.tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_without_simdjson_everything_is_left_to_the_other_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"instances":[[[1,2,3],[4,5,6]]]}'
    assert read_plain(body, PIXELS) is not None
    monkeypatch.setattr(fast_json, "simdjson", None)
    assert read_plain(body, PIXELS) is None
    assert json_body.read_json(body, PIXELS)[0].tolist() == [[[1, 2, 3], [4, 5, 6]]]


def slowly(body: bytes, spec: InputSpec) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "read_plain", lambda *_: None)
        return outcome(body, spec)


def outcome(body: bytes, spec: InputSpec) -> Any:
    try:
        rows, parameters = json_body.read_json(body, spec)
        return rows.tolist(), parameters
    except RequestError as error:
        return type(error), error.detail


@settings(max_examples=500)
@given(seed=st.integers(0, 2**32), changes=st.integers(0, 3), spec=st.sampled_from([PIXELS, FLOATS, SIGNED]))
def test_both_readers_agree_on_any_damage(seed: int, changes: int, spec: InputSpec) -> None:
    chance = random.Random(seed)
    whole = spec.dtype != "float32"
    values = instances(2, spec.shape, seed=seed) if whole else instances(2, spec.shape, "float64", seed=seed)
    document: dict[str, Any] = {"instances": values.tolist()}
    if seed % 2:
        document["parameters"] = {"a": True}
    body = bytearray(json.dumps(document).encode())
    for _ in range(changes):
        body[chance.randrange(len(body))] = chance.choice(b'0123456789-+.eE[]{},:" nt')
    assert outcome(bytes(body), spec) == slowly(bytes(body), spec)
