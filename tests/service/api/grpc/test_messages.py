"""Responses assembled without protobuf, read by protobuf."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge.api.grpc import messages
from harmgauge.api.grpc.protocol import methods
from harmgauge.api.v2.tensors import outputs
from harmgauge.bundle.load import Bundle
from harmgauge.inference.scorer import Scored

RESPONSE = methods()["ModelInfer"][1]
OFFERED = outputs(300, corrects=False, error_probability=True)


def scored(rows: int) -> Scored:
    chance = np.random.default_rng(0)
    probabilities = chance.random((rows, 300), np.float32)
    scores = chance.random(rows, np.float32)
    return Scored(
        scores,
        scores > 0.5,
        probabilities.argmax(1).astype(np.int64),
        probabilities,
        error_probability=chance.random(rows, np.float32),
    )


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_protobuf_reads_what_was_scored(image_bundle: Bundle, *, raw: bool) -> None:
    names = [output.name for output in OFFERED]
    found, rows = scored(50), np.zeros((50, 4, 4, 3), np.uint8)
    asked = messages.InferRequest("an id", rows, names, raw=raw, parameters={}, timeout_seconds=None)
    sent = messages.answer(image_bundle.manifest, asked, found)
    response = RESPONSE.FromString(sent)
    assert (response.model_name, response.model_version, response.id) == ("toy", "1", "an id")
    assert [output.name for output in response.outputs] == names
    assert [list(output.shape) for output in response.outputs] == [[50], [50], [50], [50, 300], [50]]
    assert found.error_probability is not None
    arrays = [found.scores, found.is_adversarial, found.predictions, found.probabilities, found.error_probability]
    if raw:
        assert list(response.raw_output_contents) == [array.tobytes() for array in arrays]
    else:
        fields = ["fp32_contents", "bool_contents", "int64_contents", "fp32_contents", "fp32_contents"]
        for output, field, array in zip(response.outputs, fields, arrays, strict=True):
            assert list(getattr(output.contents, field)) == array.reshape(-1).tolist()
    assert len(sent) - 300 < messages.answer_bytes(asked, OFFERED) + 100 < len(sent) + 500
