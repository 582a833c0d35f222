"""The Open Inference Protocol, with the unmodified tritonclient, and by hand for requests that it would not send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.inference.outputs import Outputs
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.process import RunningService, running_service
from tests.support.toy import instances

SHAPE = (4, 4, 3)
ROWS = instances(5, SHAPE, seed=9)
INFER = "/v2/models/toy/infer"


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path) as running:
        yield running


@pytest.fixture(scope="module")
def expected(image_bundle_path: Path) -> Outputs:
    return OnnxRuntime(load(image_bundle_path), "cpu").run(ROWS)


def triton(service: RunningService) -> Any:
    import tritonclient.http

    return tritonclient.http.InferenceServerClient(f"127.0.0.1:{service.port}")


def test_health_and_metadata(service: RunningService) -> None:
    client = triton(service)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("toy")
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": [-1, 4, 4, 3]}]
    assert {output["name"]: output["datatype"] for output in metadata["outputs"]} == {
        "score": "FP32",
        "is_adversarial": "BOOL",
        "predictions": "INT64",
        "probabilities": "FP32",
    }
    client.close()


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
def test_tritonclient_scores_in_json_and_in_bytes(
    service: RunningService, expected: Outputs, binary_in: bool, binary_out: bool
) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    client = triton(service)
    tensor = InferInput("input", list(ROWS.shape), "UINT8")
    tensor.set_data_from_numpy(ROWS, binary_data=binary_in)
    names = ["probabilities", "score", "is_adversarial", "predictions"]
    wanted = [InferRequestedOutput(name, binary_data=binary_out) for name in names]
    result = client.infer("toy", [tensor], outputs=wanted, request_id="mine")
    np.testing.assert_allclose(result.as_numpy("score"), expected.score, atol=1e-5)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-5)
    assert result.as_numpy("is_adversarial").dtype == np.bool_
    np.testing.assert_array_equal(result.as_numpy("predictions"), expected.probabilities.argmax(1))
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == ("toy", "1", "mine")
    assert [output["name"] for output in response["outputs"]] == names
    client.close()


def test_tritonclient_takes_everything_by_default(service: RunningService, expected: Outputs) -> None:
    from tritonclient.http import InferInput

    client = triton(service)
    tensor = InferInput("input", list(ROWS.shape), "UINT8")
    tensor.set_data_from_numpy(ROWS)
    result = client.infer("toy", [tensor], model_version="1")
    np.testing.assert_allclose(result.as_numpy("score"), expected.score, atol=1e-5)
    assert result.as_numpy("probabilities").shape == (5, 3)
    client.close()


@pytest.mark.anyio
async def test_tritonclients_asyncio_side(service: RunningService, expected: Outputs) -> None:
    from tritonclient.http import InferInput
    from tritonclient.http.aio import InferenceServerClient

    async with InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        assert await client.is_server_ready()
        tensor = InferInput("input", list(ROWS.shape), "UINT8")
        tensor.set_data_from_numpy(ROWS)
        result = await client.infer("toy", [tensor])
        np.testing.assert_allclose(result.as_numpy("score"), expected.score, atol=1e-5)


def test_an_error_reaches_the_client_as_its_own_exception(service: RunningService) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    client = triton(service)
    tensor = InferInput("input", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(InferenceServerException, match="datatype is 'FP32'; expected UINT8"):
        client.infer("toy", [tensor])
    with pytest.raises(InferenceServerException, match="Unknown model 'nobody'"):
        client.infer("nobody", [tensor])
    client.close()


def test_the_same_data_plane_as_score(image_bundle_path: Path) -> None:
    """The scores go into the same window, and are the same to the last bit."""
    with running_service(image_bundle_path) as service:
        by_score = service.score(ROWS)["scores"]
        tensor = {"name": "input", "datatype": "UINT8", "shape": list(ROWS.shape), "data": ROWS.tolist()}
        answer = service.client.post(INFER, json={"inputs": [tensor], "outputs": [{"name": "score"}]}).json()
        assert np.array_equal(np.array(answer["outputs"][0]["data"], np.float32), np.array(by_score, np.float32))
        assert service.score_ks(scores=True)["scores"] == by_score * 2
        routes = {labels["route"] for labels, _ in service.metrics()["harmgauge_requests_total"]}
        assert "/v2/models/{name}/infer" in routes


def tensor(**changes: object) -> dict[str, Any]:
    good = {"name": "input", "datatype": "UINT8", "shape": [1, 4, 4, 3], "data": ROWS[:1].reshape(-1).tolist()}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


BINARY = {"binary_data_size": 48}
SHARED = {"shared_memory_region": "mine", "shared_memory_byte_size": 48}


def asked(**parameters: object) -> list[dict[str, Any]]:
    return [{"name": "score", "parameters": parameters}]


@pytest.mark.parametrize(
    ("document", "tail", "status", "message"),
    [
        ({"inputs": []}, b"", 422, "a list of one tensor"),
        ({}, b"", 422, "a list of one tensor"),
        ({"inputs": [tensor(), tensor()]}, b"", 422, "a list of one tensor"),
        ({"inputs": [tensor(name="x")]}, b"", 422, "Unknown input 'x'"),
        ({"inputs": [tensor(datatype="INT64")]}, b"", 422, "datatype is 'INT64'; expected UINT8"),
        ({"inputs": [tensor(shape=[1, 48])]}, b"", 422, "expected [n, 4, 4, 3], n >= 1."),
        ({"inputs": [tensor(shape=[0, 4, 4, 3], data=[])]}, b"", 422, "n >= 1."),
        ({"inputs": [tensor(shape=[True, 4, 4, 3])]}, b"", 422, "a list of whole numbers"),
        ({"inputs": [tensor(shape="1")]}, b"", 422, "a list of whole numbers"),
        ({"inputs": [tensor(data=[1, 2])]}, b"", 422, "has 2 numbers; its shape [1, 4, 4, 3] needs 48."),
        ({"inputs": [tensor(data=[[1, 2], [3]])]}, b"", 422, "ragged"),
        ({"inputs": [tensor(data=[256] * 48)]}, b"", 422, "expected a number from 0 to 255, got 256."),
        ({"inputs": [tensor(data=[True] + [1] * 47)]}, b"", 422, "data[0]: expected a number, got true"),
        ({"inputs": [tensor(data=["a"] * 48)]}, b"", 422, "data[0]: expected a number, got the string 'a'"),
        ({"inputs": [tensor(data="text")]}, b"", 422, "a list of numbers"),
        ({"inputs": [tensor(data=None)]}, b"", 422, "either 'data' or the parameter"),
        ({"inputs": [tensor(parameters=BINARY)]}, b"x" * 48, 422, "either 'data' or the parameter"),
        ({"inputs": [tensor(data=None, parameters=BINARY)]}, b"x" * 47, 422, "47 bytes follow"),
        ({"inputs": [tensor(data=None, parameters={"binary_data_size": 47})]}, b"x" * 47, 422, "needs 48 bytes"),
        ({"inputs": [tensor()]}, b"xyz", 422, "3 bytes follow the JSON part"),
        ({"inputs": [tensor()], "outputs": [{"name": "loss"}]}, b"", 422, "Unknown output 'loss'"),
        ({"inputs": [tensor()], "outputs": [{"name": "score"}] * 2}, b"", 422, "names an output twice"),
        ({"inputs": [tensor()], "outputs": "score"}, b"", 422, "'outputs' must be a list"),
        ({"inputs": [tensor()], "parameters": {"binary_data_output": 1}}, b"", 422, "expected true or false, got 1."),
        ({"inputs": [tensor(data=[0.99999999] + [1] * 47)]}, b"", 422, "expected a whole number, got 0.99999999."),
        ({"inputs": [tensor(data=[2**64] + [1] * 47)]}, b"", 422, "got 1.8446744073709552e+19."),
        ({"inputs": [tensor(data=None, parameters={"binary_data_size": "48"})]}, b"x" * 48, 422, "the string '48'"),
        (
            {"inputs": [tensor(data=None, parameters={"binary_data_size": 48.0})]},
            b"x" * 48,
            422,
            "a whole number, got 48",
        ),
        ({"inputs": [tensor(parameters=SHARED)]}, b"", 422, "'shared_memory_region' of the input is not supported"),
        ({"inputs": [tensor(parameters={"scale": 2})]}, b"", 422, "'scale' of the input is not supported"),
        (
            {"inputs": [tensor()], "outputs": asked(classification=2)},
            b"",
            422,
            "'classification' of the output 'score'",
        ),
        ({"inputs": [tensor()], "outputs": asked(**SHARED)}, b"", 422, "'shared_memory_region' of the output 'score'"),
        ({"inputs": [tensor()], "outputs": asked(top=2)}, b"", 422, "leave it out; known: binary_data, content_type."),
        ({"inputs": [tensor()], "outputs": asked(content_type="str")}, b"", 422, "expected 'np', a tensor of numbers"),
        ({"inputs": [tensor()], "parameters": {"binary_data": True}}, b"", 422, "set 'binary_data_output'"),
        ({"inputs": [tensor()], "parameters": {"classification": 2}}, b"", 422, "of the request is not supported"),
        ({"inputs": [tensor()], "parameters": [1]}, b"", 422, "'parameters': expected an object, got a list."),
        ({"inputs": [tensor()], "parameters": {"timeout": -1}}, b"", 422, "microseconds, 0 for none, got -1."),
        ({"inputs": [tensor()], "parameters": {"timeout": 1.5}}, b"", 422, "microseconds, 0 for none, got 1.5."),
        ({"inputs": [tensor()], "parameters": {"timeout": True}}, b"", 422, "microseconds, 0 for none, got true."),
        ({"inputs": [tensor()], "parameters": {"timeout": "1s"}}, b"", 422, "0 for none, got the string '1s'."),
        ({"inputs": [tensor()], "parameters": {"timeout": 1}}, b"", 504, "deadline"),
        ({"inputs": [tensor()], "parameters": {"timeout": "1"}}, b"", 504, "deadline"),
        ({"inputs": [tensor()], "id": 5}, b"", 422, "'id': expected a string, got 5."),
    ],
)
def test_bad_requests_are_told_so_and_leave_no_trace(
    service: RunningService, document: dict[str, Any], tail: bytes, status: int, message: str
) -> None:
    before = service.score_ks(scores=True)["scores"]
    head = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = service.client.post(INFER, content=head + tail, headers=headers)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert answer.json()["detail"] == answer.json()["error"]
    assert service.score_ks(scores=True)["scores"] == before


NULLS = {"id": None, "outputs": None, "parameters": None}
MANY = {"sequence_id": 7, "sequence_start": True, "priority": 1, "headers": {"a": "b"}, "content_type": "np", "mine": 5}


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [{**tensor(), "parameters": None}], **NULLS},
        {"inputs": [tensor(parameters={"content_type": None, "headers": None})], "outputs": [{"name": "score"}]},
        {"inputs": [tensor(parameters={"content_type": "np"})], "outputs": asked(content_type="np", binary_data=False)},
        {"inputs": [tensor()], "outputs": [{"name": "score", "parameters": None}]},
        {"inputs": [tensor()], "outputs": asked(classification=None, binary_data=None)},
        {"inputs": [tensor()], "parameters": {"binary_data_output": None, "timeout": None}},
        {"inputs": [tensor()], "parameters": {"timeout": 0}},
        {"inputs": [tensor()], "parameters": {"timeout": "30000000"}},
        {"inputs": [tensor()], "parameters": {"timeout": 2**64 - 1}},
        {"inputs": [tensor()], "parameters": MANY},
    ],
)
def test_null_is_as_good_as_absent_and_clients_own_parameters_change_nothing(
    service: RunningService, expected: Outputs, document: dict[str, Any]
) -> None:
    answer = service.client.post(INFER, json=document).json()
    assert answer["outputs"][0]["data"] == pytest.approx([expected.score[0]], abs=1e-5)
    assert "id" not in answer


def test_binary_tensors_may_have_null_for_data(service: RunningService) -> None:
    head = json.dumps({"inputs": [{**tensor(), "data": None, "parameters": BINARY}], **NULLS}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = service.client.post(INFER, content=head + ROWS[:1].tobytes(), headers=headers)
    assert answer.status_code == 200, answer.text


def test_tritonclients_timeout_and_unsupported_extensions(service: RunningService) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException

    client = triton(service)
    sent = InferInput("input", list(ROWS.shape), "UINT8")
    sent.set_data_from_numpy(ROWS)
    client.infer("toy", [sent], timeout=30_000_000, priority=1, sequence_id=7, sequence_start=True)
    with pytest.raises(InferenceServerException, match="deadline"):
        client.infer("toy", [sent], timeout=1)
    with pytest.raises(InferenceServerException, match="'classification' of the output 'probabilities'"):
        client.infer("toy", [sent], outputs=[InferRequestedOutput("probabilities", class_count=2)])
    client.close()


def test_header_lengths_that_lie(service: RunningService) -> None:
    body = json.dumps({"inputs": [tensor()]}).encode()
    for length in ("-1", "x", str(len(body) + 1), "5"):
        headers = {"Inference-Header-Content-Length": length}
        assert service.client.post(INFER, content=body, headers=headers).status_code == 400
    assert service.client.post(INFER, content=b"").status_code == 400
    assert service.client.post("/v2/models/toy/versions/9/infer", content=body).status_code == 404
    assert service.client.get("/v2/models/other").status_code == 404


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_a_page_of_another_site_cannot_have_anything_scored(service: RunningService, media_type: str | None) -> None:
    tensor = {"name": "input", "shape": [1, *SHAPE], "datatype": "UINT8", "data": ROWS[0].reshape(-1).tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    headers = {} if media_type is None else {"Content-Type": media_type}
    assert service.client.post(INFER, content=body, headers=headers).status_code == 200, (
        "other clients say what they like"
    )
    before = service.metrics()["harmgauge_instances_total"]
    answer = service.client.post(INFER, content=body, headers=headers | {"Origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unknown_media_type")
    assert service.metrics()["harmgauge_instances_total"] == before
    own = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{service.port}"}
    assert service.client.post(INFER, content=body, headers=own).status_code == 200
