"""The parameters of a body, beside those of the query: read, absent, refused."""

from __future__ import annotations

import pytest

from harmgauge.api.body import json_body
from harmgauge.api.body.decode import Parameters
from harmgauge.api.body.media import JSON, RAW
from harmgauge.errors import InvalidParameters
from tests.support.bodies import FLOATS, IMAGES, PIXELS, as_json, read
from tests.support.toy import instances


def test_parameters() -> None:
    body = as_json(IMAGES.tolist(), parameters={"probabilities": True})
    assert read(body, JSON, {}, PIXELS).parameters == Parameters(probabilities=True)
    assert read(body, JSON, {"correct": True}, PIXELS).parameters == Parameters(probabilities=True, correct=True)
    assert read(IMAGES.tobytes(), RAW, {"probabilities": True}, PIXELS).parameters == Parameters(probabilities=True)


@pytest.mark.parametrize("rows", [1, 20], ids=["general reader", "fast reader"])
@pytest.mark.parametrize("null", [None, {"probabilities": None, "correct": None}])
def test_null_is_as_good_as_absent(null: object, rows: int) -> None:
    body = as_json(instances(rows, (3,), "uint8").tolist(), parameters=null)
    assert (len(body) >= json_body.LEAST_BYTES) == (rows == 20)
    assert read(body, JSON, {}, FLOATS).parameters == Parameters()
    assert read(body, JSON, {"correct": True}, FLOATS).parameters == Parameters(correct=True), "as the query says"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"probability": True}, "Unknown parameter 'probability'; known: probabilities, correct, error_probability."),
        ({"probability": None}, "Unknown parameter 'probability'"),
        ({"a" * 10**4: True}, f"Unknown parameter '{'a' * 40}'...; known: probabilities, correct, error_probability."),
        ({"probabilities": 1}, "The parameter 'probabilities': expected true or false, got 1."),
        ({"error_probability": 0.5}, "The parameter 'error_probability': expected true or false, got 0.5."),
        ({"correct": "true"}, "The parameter 'correct': expected true or false, got the string 'true'."),
        ([], "'parameters': expected an object, got a list."),
        (False, "'parameters': expected an object, got false."),
    ],
)
def test_wrong_parameters(parameters: object, message: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        read(as_json([[1, 2, 3]], parameters=parameters), JSON, {}, FLOATS)
    assert message in refusal.value.detail
