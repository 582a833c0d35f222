"""V2 requests in JSON: a long tensor is read exactly as the instances of `/score` are."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.api.answer import FRAME_BYTES
from harmgauge.api.body import fast_json
from harmgauge.api.body.json_body import MAX_LOOSE_BYTES
from harmgauge.api.body.steps import finish
from harmgauge.api.v2 import messages, tensors
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError, Unprocessable
from harmgauge.inference.scorer import Scored
from tests.support.toy import instances

PIXELS = InputSpec(dtype="uint8", shape=(2, 3), minimum=0, maximum=255)
FLOATS = InputSpec(dtype="float32", shape=(3,))
GAPS = InputSpec(dtype="float32", shape=(3,), missing=True)
OFFERED = tensors.outputs(3, corrects=False)


def document(spec: InputSpec, x: Any, *, flat: bool, **more: Any) -> dict[str, Any]:
    tensor = {"name": spec.name, "datatype": tensors.DATATYPES[spec.dtype], "shape": list(x.shape)}
    data = x.astype(object)
    if spec.missing:
        data[x < 0] = None
    return {"inputs": [{**tensor, "data": (data.reshape(-1) if flat else data).tolist(), **more}]}


def rows_of(body: bytes, spec: InputSpec = PIXELS) -> Any:
    return messages.parse(body, None, spec, OFFERED).instances.tolist()


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("spec", [PIXELS, FLOATS, GAPS], ids=["uint8", "float32", "missing"])
def test_large_tensors_are_read(spec: InputSpec, flat: bool, indent: int | None) -> None:
    x = instances(20_000, spec.shape, spec.dtype)
    more = {"id": "7", "outputs": [{"name": "score"}], "parameters": {"a": 1}}
    body = json.dumps(document(spec, x, flat=flat) | more, indent=indent).encode()
    assert len(body) > MAX_LOOSE_BYTES
    request = messages.parse(bytearray(body), None, spec, OFFERED)
    np.testing.assert_array_equal(request.instances, np.where(x < 0, np.nan, x) if spec.missing else x)
    assert (request.id, request.outputs, request.parameters) == ("7", [("score", False)], {"a": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"parameters":{"content_type":{"data":[1,2,3,4,5,6]}},"data":[0,0,0,0,0,0]', 0),
        (b'"parameters":{"data":[1,2,3,4,5,6]},"data":0', None),
        (b'"other":{"x\\"data":[1,2,3,4,5,6]},"data":[0,0,0,0,0,0]', 0),
        (b'"data":[1,1,1,1,1,1],"data":[0,0,0,0,0,0]', 0),
        (b'"data":0,"data":[1,1,1,1,1,1]', 1),
        (b'"data":[1,1,1,1,1,1],"data":0', None),
        (b'"x":"\\"data\\":[1,1,1,1,1,1]","data":[0,0,0,0,0,0]', 0),
        (b'"data":[1,1,1,1,1,1],"parameters":{"content_type":[[],"]"]}', 1),
        (b'"data":[1,1,1,1,1,1]]', None),
        (b'"data":[[1,1,1],[1,1,1]]', None),
        (b'"data":[1,1,1,1,1,true]', None),
        (b'"data":[1,1,1,1,1,"1"]', None),
    ],
)
def test_no_other_list_is_taken_for_the_data(
    text: bytes, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LEAST_BYTES", 0)
    body = b'{"inputs":[{"name":"input","datatype":"UINT8","shape":[1,2,3],%s}]}' % text
    if expected is None:
        with pytest.raises(RequestError):
            rows_of(body)
    else:
        assert rows_of(body) == np.full((1, 2, 3), expected).tolist()


def test_an_input_may_be_called_data() -> None:
    spec = InputSpec(name="data", dtype="uint8", shape=(2, 3))
    x = instances(20_000, (2, 3))
    assert rows_of(json.dumps(document(spec, x, flat=True)).encode(), spec) == x.tolist()


@pytest.mark.parametrize("unit", [b"null", b"[1]", b"[]", b'{"a":1}', b'"x"', b"[" * 9])
def test_the_first_piece_that_does_not_fit_ends_the_reading(unit: bytes) -> None:
    head = b'{"inputs":[{"name":"input","datatype":"UINT8","shape":[9,2,3],"data":['
    body = head + (unit + b",") * (2**20 // len(unit)) + b"1]}]}"
    steps: list[None] = []
    with pytest.raises(Unprocessable, match="binary tensor"):
        steps.extend(messages.reading(body, None, PIXELS, OFFERED))
    assert steps == []


def test_a_shape_of_another_size_is_refused_before_the_numbers_are_read() -> None:
    body = json.dumps(document(PIXELS, instances(20_000, (3, 3)), flat=True)).encode()
    steps: list[None] = []
    with pytest.raises(Unprocessable, match="shape"):
        steps.extend(messages.reading(body, None, PIXELS, OFFERED))
    assert steps == []


def test_more_outputs_than_there_are_are_refused() -> None:
    body = document(PIXELS, instances(1, (2, 3)), flat=True) | {"outputs": [{"name": "score"}] * 5}
    with pytest.raises(Unprocessable, match="5 outputs; only 4 are offered"):
        messages.parse(json.dumps(body).encode(), None, PIXELS, OFFERED)


def loosely(body: bytes, spec: InputSpec) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "cut_out", lambda *_: None)
        return outcome(body, spec)


def outcome(body: bytes, spec: InputSpec) -> Any:
    try:
        request = messages.parse(body, None, spec, OFFERED)
        # As text: NaN is not equal to itself.
        return str(request.instances.tolist()), request.id, request.outputs, request.parameters
    except RequestError:
        return None


DAMAGE = [bytes([character]) for character in b'0123456789-+.eE[]{},:" nult']


@pytest.mark.parametrize("piece_bytes", [fast_json.PIECE_BYTES, 7])
@settings(max_examples=500)
@given(seed=st.integers(0, 2**32), changes=st.integers(0, 3), spec=st.sampled_from([PIXELS, FLOATS, GAPS]))
def test_both_readers_agree_on_any_damage(piece_bytes: int, seed: int, changes: int, spec: InputSpec) -> None:
    chance = random.Random(seed)
    x = instances(2, spec.shape, "uint8" if spec is PIXELS else "float64", seed=seed)
    made = document(spec, x, flat=seed % 2 == 0)
    if seed % 3:
        made |= {"id": "data", "outputs": [{"name": "score"}]}
    body = bytearray(json.dumps(made).encode())
    for _ in range(changes):
        at = chance.randrange(len(body))
        body[at : at + chance.choice((0, 1, 1))] = chance.choice((b"null", *DAMAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "LEAST_BYTES", 0)
        patch.setattr(fast_json, "PIECE_BYTES", piece_bytes)
        fast_json._skeletons.cache_clear()
        assert outcome(bytes(body), spec) == loosely(bytes(body), spec)
    fast_json._skeletons.cache_clear()


def test_the_error_probability_is_offered_last_and_not_to_keys_that_get_flags_only() -> None:
    for corrects in (False, True):
        before = tensors.outputs(3, corrects=corrects)
        offered = tensors.outputs(3, corrects=corrects, error_probability=True)
        assert offered == [*before, tensors.OutputSpec("error_probability", "FP32", (-1,))]
        assert tensors.without_scores(offered) == tensors.without_scores(before)
    assert tensors.number_type("error_probability", 3) == (np.dtype("float32"), 1)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("rows", [1, 3000])
@pytest.mark.parametrize("with_chances", [True, False])
def test_an_answer_is_no_larger_than_its_bound(rows: int, binary: bool, with_chances: bool) -> None:
    random_numbers = np.random.default_rng(0)
    scored = Scored(
        scores=(random_numbers.random(rows) * 1e-9).astype(np.float32),
        is_adversarial=np.zeros(rows, np.bool_),
        predictions=np.full(rows, 2),
        probabilities=(random_numbers.random((rows, 3)) * 1e-9).astype(np.float32),
        error_probability=(random_numbers.random(rows) * 1e-9).astype(np.float32) if with_chances else None,
    )
    body = document(PIXELS, instances(1, (2, 3)), flat=True) | {
        "id": '"' * 99,
        "parameters": {"binary_data_output": binary},
    }
    offered = tensors.outputs(3, corrects=False, error_probability=with_chances)
    request = messages.parse(json.dumps(body).encode(), None, PIXELS, offered)
    pieces, _ = finish(messages.answering("m", "1", request, scored))
    taken, most = sum(map(len, pieces)), messages.most_answer_bytes(rows, request, 3)
    assert most / 4 - FRAME_BYTES < taken <= most
