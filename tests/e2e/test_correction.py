"""Corrected predictions from a real process, over every interface, and a bundle without them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import Bundle, load
from harmgauge.inference.outputs import Outputs
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.process import RAW, RunningService, running_service
from tests.support.toy import instances, toy_autoencoder_bundle

ROWS = instances(60, (4, 4, 3), seed=9)
CLASSES = ["corrected", "no_defense", "defense"]
DISTRIBUTIONS = ["corrected_probabilities", "defense_probabilities"]
ALWAYS = {"model", "version", "threshold", "scores", "is_adversarial", "predictions"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(toy_autoencoder_bundle(tmp_path_factory.mktemp("autoencoder")))


@pytest.fixture(scope="module")
def service(bundle: Bundle) -> Iterator[RunningService]:
    with running_service(bundle.path, grpc_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> dict[str, Any]:
    """The expected predictions, from the graph alone: the defense if the score is above the threshold, else the
    prediction.
    """
    outputs: Outputs = OnnxRuntime(bundle, "cpu").run(ROWS)
    assert outputs.corrected_probabilities is not None
    flagged = outputs.score > bundle.threshold
    no_defense, defense = outputs.probabilities.argmax(1), outputs.corrected_probabilities.argmax(1)
    corrected = [int(defense[row] if flagged[row] else no_defense[row]) for row in range(len(ROWS))]
    assert any(flagged & (no_defense != defense)), "some are corrected"
    assert any(~flagged & (no_defense != defense)), "some are left alone"
    distribution = [
        (outputs.corrected_probabilities if flagged[row] else outputs.probabilities)[row] for row in range(len(ROWS))
    ]
    return {
        "corrected": corrected,
        "no_defense": no_defense.tolist(),
        "defense": defense.tolist(),
        "corrected_probabilities": np.stack(distribution),
        "defense_probabilities": outputs.corrected_probabilities,
    }


def check(found: dict[str, Any], expected: dict[str, Any], names: list[str]) -> None:
    for name in names:
        np.testing.assert_allclose(np.asarray(found[name]), expected[name], atol=1e-5, err_msg=name)


def test_json_bodies_ask_in_their_parameters(service: RunningService, expected: dict[str, Any]) -> None:
    def score(parameters: dict[str, bool]) -> dict[str, Any]:
        body = json.dumps({"instances": ROWS.tolist(), "parameters": parameters})
        answer = service.client.post("/score", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    assert score({}).keys() == ALWAYS, "nothing that was not asked for"
    assert score({"correct": False, "probabilities": True}).keys() == ALWAYS | {"probabilities"}
    corrected = score({"correct": True})
    assert corrected.keys() == ALWAYS | set(CLASSES)
    assert corrected["predictions"] == corrected["no_defense"]
    check(corrected, expected, CLASSES)
    both = score({"correct": True, "probabilities": True})
    assert both.keys() == ALWAYS | {"probabilities", *CLASSES, *DISTRIBUTIONS}
    check(both, expected, CLASSES + DISTRIBUTIONS)


def test_binary_bodies_ask_in_the_query(service: RunningService, expected: dict[str, Any]) -> None:
    query = "/score?correct=true&probabilities=true"
    answer = service.client.post(query, content=ROWS.tobytes(), headers=RAW).json()
    check(answer, expected, CLASSES + DISTRIBUTIONS)


def test_open_inference_protocol_over_rest(service: RunningService, expected: dict[str, Any]) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    client = InferenceServerClient(f"127.0.0.1:{service.port}")
    offered = {output["name"]: output for output in client.get_model_metadata("toy")["outputs"]}
    assert [offered[name]["datatype"] for name in CLASSES + DISTRIBUTIONS] == ["INT64"] * 3 + ["FP32"] * 2
    assert [offered[name]["shape"] for name in ("corrected", "corrected_probabilities")] == [[-1], [-1, 3]]
    tensor = InferInput("input", list(ROWS.shape), "UINT8")
    tensor.set_data_from_numpy(ROWS)
    for binary in (False, True):
        wanted = [InferRequestedOutput(name, binary_data=binary) for name in CLASSES + DISTRIBUTIONS]
        result = client.infer("toy", [tensor], outputs=wanted)
        check({name: result.as_numpy(name) for name in CLASSES + DISTRIBUTIONS}, expected, CLASSES + DISTRIBUTIONS)
        assert [output["name"] for output in result.get_response()["outputs"]] == CLASSES + DISTRIBUTIONS
    client.close()


def test_open_inference_protocol_over_grpc(service: RunningService, expected: dict[str, Any]) -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

    port = next(found[1] for line in service.log if (found := re.search(r"serving gRPC on 127\.0\.0\.1:(\d+)", line)))
    with InferenceServerClient(f"127.0.0.1:{port}") as client:
        offered = [output.name for output in client.get_model_metadata("toy").outputs]
        assert offered[-5:] == CLASSES + DISTRIBUTIONS
        tensor = InferInput("input", list(ROWS.shape), "UINT8")
        tensor.set_data_from_numpy(ROWS)
        wanted = [InferRequestedOutput(name) for name in CLASSES + DISTRIBUTIONS]
        result = client.infer("toy", [tensor], outputs=wanted)
        check({name: result.as_numpy(name) for name in CLASSES + DISTRIBUTIONS}, expected, CLASSES + DISTRIBUTIONS)


def test_rows_of_many_batches_keep_their_own_correction(service: RunningService, expected: dict[str, Any]) -> None:
    rows = np.concatenate([ROWS] * 4)
    answer = service.client.post("/score?correct=true", content=rows.tobytes(), headers=RAW).json()
    assert answer["corrected"] == expected["corrected"] * 4


def test_a_bundle_without_correction_refuses_to_correct(image_bundle_path: Path) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException

    with running_service(image_bundle_path) as plain:
        answer = plain.client.post("/score?correct=true", content=ROWS.tobytes(), headers=RAW)
        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid_parameters"
        assert "toy/1 offers no correction" in answer.json()["detail"]
        assert "corrected" not in plain.score(ROWS)
        client = InferenceServerClient(f"127.0.0.1:{plain.port}")
        tensor = InferInput("input", list(ROWS.shape), "UINT8")
        tensor.set_data_from_numpy(ROWS)
        with pytest.raises(InferenceServerException, match="Unknown output 'corrected'"):
            client.infer("toy", [tensor], outputs=[InferRequestedOutput("corrected")])
        client.close()


def test_the_openapi_page_tells_of_it(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    properties = document["components"]["schemas"]["ScoreAnswer"]["properties"]
    assert {*CLASSES, *DISTRIBUTIONS} <= properties.keys()
    body = document["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["parameters"]["properties"]["correct"] == {"type": ["boolean", "null"]}
