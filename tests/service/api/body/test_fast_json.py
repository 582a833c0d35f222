"""The fast reader returns the same as the slow one for all that it reads, and leaves all other bodies to it."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.api.body import fast_json, json_body
from harmgauge.api.body.json_body import Plain
from harmgauge.api.body.steps import Steps, finish
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError, Unprocessable
from tests.support.toy import instances

PIXELS = InputSpec(dtype="uint8", shape=(2, 3), minimum=0, maximum=255)
FLOATS = InputSpec(dtype="float32", shape=(3,))
SIGNED = InputSpec(dtype="int16", shape=(2,))
GAPS = InputSpec(dtype="float32", shape=(3,), missing=True)


@pytest.fixture(autouse=True)
def any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "LEAST_BYTES", 0)


def read_plain(body: bytes, spec: InputSpec) -> Plain | None:
    return finish(json_body.read_plain(body, spec))


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
        b'{"instances":[[[1,2,3],[4,5]],[[6,7],[8,9,10,11]]]}',  # as many numbers and brackets, nested differently
        b'{"instances":[[[1,2,3],[4,5,6]]],"parameters":5}',
        b'{"instances":[[[1,2,3],[4,5,6]]],"instances":5}',
        b'{"instances":[[[1,2,3],[4,5,6]]],"other":[]}',
        b'{"parameters":{"instances":[[[1,2,3],[4,5,6]]]}}',
        b'["instances":[[[1,2,3],[4,5,6]]]]',
        b'{"inst1ances":[[[1,2,3],[4,5,6]]]}',
        b'{"instances":[[[1,2,3],[4,,6]]]}',
        b'{"instances":[[[1,2,3],[,5,6]]]}',
        b'{"instances":[[[1,2,3],[4,5,]6]]}',
        b'{"instances":[[[1,2,],3[4,5,6]]]}',
        b'{"instances":[[[1,2,3],[4,5,6]]1]}',
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


@pytest.mark.parametrize("number", ["7.0", "6.5", "-6", "-0", "1e2", "300", "7e-1"])
def test_any_spelling_of_a_number_is_read(number: str) -> None:
    body = b'{"instances":[[[1,2,3],[4,5,%s]]]}' % number.encode()
    assert numbers_of(body, PIXELS).tolist() == [[[1, 2, 3], [4, 5, float(number)]]]
    assert outcome(body, PIXELS) == slowly(body, PIXELS)


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("has_simdjson", [True, False])
def test_long_lists_are_read_in_pieces_cut_anywhere(
    has_simdjson: bool, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_json, "PIECE_BYTES", 37)
    fast_json._skeletons.cache_clear()
    if not has_simdjson:
        monkeypatch.setattr(fast_json, "simdjson", None)
    for spec, rows in ((PIXELS, 40), (FLOATS, 40), (SIGNED, 1)):
        x = instances(rows, spec.shape, spec.dtype)
        for indent in (None, 1):
            body = kind(json.dumps({"instances": x.tolist(), "parameters": {}}, indent=indent).encode())
            np.testing.assert_array_equal(numbers_of(body, spec), x.astype(np.float64))
    fast_json._skeletons.cache_clear()


@pytest.mark.parametrize("unit", [b"[1]", b"[]", b'{"a":1}', b"1", b'"x"', b"[[1,2,3],[4,5,6],[7,8,9]]", b"[" * 9])
def test_the_first_piece_that_does_not_fit_ends_the_reading(unit: bytes) -> None:
    body = b'{"instances":[' + (unit + b",") * (2**20 // len(unit)) + b"1]}"
    steps: list[None] = []
    with pytest.raises(Unprocessable, match="not examined further"):
        steps.extend(json_body.read_json(body, PIXELS))
    assert steps == []


def test_a_step_is_one_piece() -> None:
    body = json.dumps({"instances": instances(20_000, PIXELS.shape).tolist()}).encode()
    counted = sum(1 for _ in json_body.read_json(body, PIXELS))
    assert counted >= 2 * len(body) // fast_json.PIECE_BYTES


DAMAGE = [bytes([character]) for character in b'0123456789-+.eE[]{},:" nult']


def with_gaps(values: Rows, spec: InputSpec) -> Any:
    """Nested lists, with null in place of negative numbers if the input may have missing values."""
    if not spec.missing:
        return values.tolist()
    gaps = values.astype(object)
    gaps[values < 0] = None
    return gaps.tolist()


@pytest.mark.parametrize("has_simdjson", [True, False])
@pytest.mark.parametrize("piece_bytes", [fast_json.PIECE_BYTES, 37])
@pytest.mark.parametrize("rows", [1, 2, 40, 4000])
def test_nulls_are_read_where_values_may_be_missing(
    rows: int, piece_bytes: int, has_simdjson: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rows == 4000 and piece_bytes < 100:
        return  # slow, and like 40
    monkeypatch.setattr(fast_json, "PIECE_BYTES", piece_bytes)
    fast_json._skeletons.cache_clear()
    if not has_simdjson:
        monkeypatch.setattr(fast_json, "simdjson", None)
    x = instances(rows, GAPS.shape, "float64")
    for indent in (None, 1):
        body = json.dumps({"instances": with_gaps(x, GAPS)}, indent=indent).encode()
        np.testing.assert_array_equal(numbers_of(body, GAPS), np.where(x < 0, np.nan, x))
        assert read_plain(body, FLOATS) is None
    fast_json._skeletons.cache_clear()


@pytest.mark.parametrize(
    "token",
    [
        "1null", "null1", "-null", "nullnull", "null null", "nul", "null.5", "nulle5", "ull", "nnullull", "nunullll",
        "Null", "NaN", "null[]", "1e", "u1", "1l", "0null0", "null 0", " 0 n", "[null]", "nan", "n", "", '"null"',
        "true", "lun",
    ],
)  # fmt: skip
def test_what_only_looks_like_null_is_left_to_the_other_reader(token: str) -> None:
    for instance in (f"{token},1,2", f"1,{token},null", f"null,null,{token}"):
        body = b'{"instances":[[%s]]}' % instance.encode()
        assert read_plain(body, GAPS) is None, body
        assert isinstance(outcome(body, GAPS)[0], type), body


def slowly(body: bytes, spec: InputSpec) -> Any:
    def leave(*_: object) -> Steps[None]:
        yield from ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "read_plain", leave)
        return outcome(body, spec)


def outcome(body: bytes, spec: InputSpec) -> Any:
    try:
        rows, parameters = finish(json_body.read_json(body, spec))
        return str(rows.tolist()), parameters  # as text: NaN is not equal to itself
    except RequestError as error:
        return type(error), error.detail


@pytest.mark.parametrize("piece_bytes", [fast_json.PIECE_BYTES, 7])
@settings(max_examples=500)
@given(seed=st.integers(0, 2**32), changes=st.integers(0, 3), spec=st.sampled_from([PIXELS, FLOATS, SIGNED, GAPS]))
def test_both_readers_agree_on_any_damage(piece_bytes: int, seed: int, changes: int, spec: InputSpec) -> None:
    chance = random.Random(seed)
    whole = spec.dtype != "float32"
    values = instances(2, spec.shape, seed=seed) if whole else instances(2, spec.shape, "float64", seed=seed)
    document: dict[str, Any] = {"instances": with_gaps(values, spec)}
    if seed % 2:
        document["parameters"] = {"a": True}
    body = bytearray(json.dumps(document).encode())
    for _ in range(changes):
        at = chance.randrange(len(body))
        # As long as the original, one longer, or a token more.
        body[at : at + chance.choice((0, 1, 1))] = chance.choice((b"null", b"ul", *DAMAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_json, "PIECE_BYTES", piece_bytes)
        fast_json._skeletons.cache_clear()
        assert outcome(bytes(body), spec) == slowly(bytes(body), spec)
    fast_json._skeletons.cache_clear()
