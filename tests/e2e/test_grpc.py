"""The Open Inference Protocol over gRPC, with the unmodified tritonclient."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from harmgauge.bundle.load import load
from harmgauge.inference.outputs import Outputs
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.process import RunningService, grpc_port, running_service, wait_until
from tests.support.toy import instances

SHAPE = (4, 4, 3)
ROWS = instances(5, SHAPE, seed=9)
NAMES = ["probabilities", "score", "is_adversarial", "predictions"]


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, grpc_port=0, max_body_bytes=200_000) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as connected:
        yield connected


@pytest.fixture
def stub(service: RunningService) -> Iterator[Any]:
    """The calls of the published protocol, for requests that a client would not send."""
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def expected(image_bundle_path: Path) -> Outputs:
    return OnnxRuntime(load(image_bundle_path), "cpu").run(ROWS)


def tensor(rows: Any = ROWS) -> InferInput:
    made = InferInput("input", list(rows.shape), "UINT8")
    made.set_data_from_numpy(rows)
    return made


def request(**changes: Any) -> Any:
    """A valid request with typed contents, of which each test breaks one thing."""
    contents = service_pb2.InferTensorContents(uint_contents=ROWS.reshape(-1).tolist())
    one = service_pb2.ModelInferRequest.InferInputTensor(
        name="input", datatype="UINT8", shape=ROWS.shape, contents=contents
    )
    return service_pb2.ModelInferRequest(**{"model_name": "toy", "inputs": [one], **changes})


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "1")
    assert client.get_server_metadata().name == "harmgauge"
    metadata = client.get_model_metadata("toy")
    assert (metadata.platform, list(metadata.versions)) == ("onnxruntime_onnx", ["1"])
    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [("input", "UINT8", [-1, 4, 4, 3])]
    assert {one.name: one.datatype for one in metadata.outputs}["predictions"] == "INT64"
    for wrong in (("other", ""), ("toy", "2")):
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            client.get_model_metadata(*wrong)


def test_tritonclient_scores(client: Any, service: RunningService, expected: Outputs) -> None:
    wanted = [InferRequestedOutput(name) for name in NAMES]
    result = client.infer("toy", [tensor()], outputs=wanted, request_id="mine")
    np.testing.assert_allclose(result.as_numpy("score"), expected.score, atol=1e-5)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-5)
    np.testing.assert_array_equal(result.as_numpy("predictions"), expected.probabilities.argmax(1))
    assert result.as_numpy("is_adversarial").dtype == np.bool_
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("toy", "1", "mine")
    assert [output.name for output in response.outputs] == NAMES
    window = service.score_ks(scores=True)["scores"]
    np.testing.assert_array_equal(np.float32(window[-5:]), result.as_numpy("score"))


def test_typed_contents_are_answered_with_typed_contents(stub: Any, expected: Outputs) -> None:
    response = stub.ModelInfer(request())
    outputs = {output.name: output.contents for output in response.outputs}
    np.testing.assert_allclose(outputs["score"].fp32_contents, expected.score, atol=1e-5)
    assert len(outputs["is_adversarial"].bool_contents) == 5
    assert list(outputs["predictions"].int64_contents) == expected.probabilities.argmax(1).tolist()
    assert not response.raw_output_contents


def spoiled(**changes: Any) -> Any:
    made = request()
    for name, value in changes.items():
        field = getattr(made.inputs[0], name)
        if name == "shape":
            del field[:]
            field.extend(value)
        else:
            setattr(made.inputs[0], name, value)
    return made


def with_contents(**contents: Any) -> Any:
    made = request()
    made.inputs[0].contents.CopyFrom(service_pb2.InferTensorContents(**contents))
    return made


FLAT = ROWS.reshape(-1).tolist()


def with_parameter(of: str, name: str, **value: Any) -> Any:
    made = request(outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="score")])
    holder = {"input": made.inputs[0], "output": made.outputs[0], "request": made}[of]
    holder.parameters[name].CopyFrom(service_pb2.InferParameter(**value))
    return made


BAD = [
    (with_parameter("output", "classification", int64_param=2), "INVALID_ARGUMENT", "'classification' of the output"),
    (with_parameter("output", "shared_memory_region", string_param="r"), "INVALID_ARGUMENT", "of the output 'score'"),
    (with_parameter("output", "top", int64_param=2), "INVALID_ARGUMENT", "known: binary_data, content_type."),
    (with_parameter("output", "content_type", string_param="str"), "INVALID_ARGUMENT", "expected 'np'"),
    (with_parameter("input", "shared_memory_offset", int64_param=0), "INVALID_ARGUMENT", "of the input is not"),
    (with_parameter("request", "classification", int64_param=2), "INVALID_ARGUMENT", "of the request is not"),
    (with_parameter("request", "timeout", int64_param=-1), "INVALID_ARGUMENT", "0 for none, got -1."),
    (with_parameter("request", "timeout", double_param=0.5), "INVALID_ARGUMENT", "0 for none, got 0.5."),
    (with_parameter("request", "timeout", string_param="1 s"), "INVALID_ARGUMENT", "0 for none, got the string '1 s'."),
    (with_parameter("request", "timeout", bool_param=True), "INVALID_ARGUMENT", "0 for none, got true."),
    (with_parameter("request", "timeout", int64_param=1), "DEADLINE_EXCEEDED", "was dropped"),
    (with_parameter("request", "timeout", uint64_param=2), "DEADLINE_EXCEEDED", "allow more time"),
    (with_parameter("request", "timeout", string_param="3"), "DEADLINE_EXCEEDED", "by the request's deadline"),
    (request(model_name="other"), "NOT_FOUND", "Unknown model 'other'"),
    (request(model_version="7"), "NOT_FOUND", "Unknown version '7'"),
    (request(inputs=[]), "INVALID_ARGUMENT", "expected one tensor"),
    (spoiled(name="x"), "INVALID_ARGUMENT", "Unknown input 'x'"),
    (spoiled(datatype="FP32"), "INVALID_ARGUMENT", "expected UINT8"),
    (spoiled(shape=[5, 48]), "INVALID_ARGUMENT", "[n, 4, 4, 3]"),
    (spoiled(shape=[4, 4, 4, 3]), "INVALID_ARGUMENT", "has 240 numbers"),
    (spoiled(shape=[2**60, 4, 4, 3]), "INVALID_ARGUMENT", "has 240 numbers"),
    (spoiled(shape=[-1, 4, 4, 3]), "INVALID_ARGUMENT", "n >= 1"),
    (with_contents(), "INVALID_ARGUMENT", "must be in 'uint_contents'; it is in no field"),
    (with_contents(int_contents=FLAT), "INVALID_ARGUMENT", "it is in ['int_contents']"),
    (
        with_contents(uint_contents=[256, *FLAT[1:]]),
        "INVALID_ARGUMENT",
        "[0][0][0][0]: expected a number from 0 to 255, got 256.",
    ),
    (request(raw_input_contents=[ROWS.tobytes()]), "INVALID_ARGUMENT", "exactly once"),
    (
        request(outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="odds")]),
        "INVALID_ARGUMENT",
        "Unknown output 'odds'",
    ),
]


@pytest.mark.parametrize(("message", "code", "details"), BAD, ids=[case[2] for case in BAD])
def test_bad_requests_are_told_so_and_leave_no_trace(
    stub: Any, service: RunningService, message: Any, code: str, details: str
) -> None:
    before = service.score_ks(scores=True)["scores"]
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ModelInfer(message)
    assert refusal.value.code().name == code
    assert details in refusal.value.details()
    trailing = dict(refusal.value.trailing_metadata())
    assert trailing["code"] in ("unknown_model", "invalid_instances", "invalid_parameters", "deadline_passed")
    assert len(trailing["x-request-id"]) == 32
    assert service.score_ks(scores=True)["scores"] == before


@pytest.mark.parametrize(
    "message",
    [
        with_parameter("input", "binary_data_size", int64_param=240),
        with_parameter("input", "content_type", string_param="np"),
        with_parameter("output", "binary_data", bool_param=True),
        with_parameter("output", "classification"),
        with_parameter("request", "timeout", uint64_param=0),
        with_parameter("request", "timeout", uint64_param=2**64 - 1),
        with_parameter("request", "sequence_id", int64_param=7),
        with_parameter("request", "mine", string_param="x"),
    ],
)
def test_parameters_that_change_no_answer_are_taken(stub: Any, expected: Outputs, message: Any) -> None:
    np.testing.assert_allclose(stub.ModelInfer(message).outputs[0].contents.fp32_contents, expected.score, atol=1e-5)


def test_what_is_too_large_is_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="RESOURCE_EXHAUSTED"):
        client.infer("toy", [tensor(instances(5000, SHAPE))])


def counted(service: RunningService) -> dict[str, float]:
    route = "/inference.GRPCInferenceService/ModelInfer"
    samples = service.metrics()["harmgauge_requests_total"]
    return {labels["status"]: count for labels, count in samples if labels["route"] == route}


def test_what_is_no_message_is_refused_with_a_request_id(service: RunningService) -> None:
    """The bytes are sent unchanged; they announce a text of 127 bytes but contain none."""
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"\x0a\x7f")
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.value.details() == "The message is not a valid inference.ModelInferRequest."
    trailing = dict(refusal.value.trailing_metadata())
    assert trailing["code"] == "unreadable_body"
    assert len(trailing["x-request-id"]) == 32
    assert counted(service)["INVALID_ARGUMENT"] >= 1


def test_calls_are_counted_by_route_and_code(stub: Any, service: RunningService) -> None:
    before = counted(service)
    stub.ModelInfer(request())
    with pytest.raises(grpc.RpcError):
        stub.ModelInfer(request(model_name="other"))
    for status in ("OK", "NOT_FOUND"):
        assert counted(service)[status] == before.get(status, 0) + 1


def test_a_deadline_and_a_client_that_leaves(image_bundle_path: Path) -> None:
    rows = instances(60_000, SHAPE)
    with (
        running_service(image_bundle_path, grpc_port=0, max_queue_rows=200_000, max_batch_rows=1, workers=1) as service,
        tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as client,
    ):
        with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED|Deadline Exceeded"):
            client.infer("toy", [tensor(rows)], client_timeout=0.2)
        answer = threading.Event()
        call = client.async_infer("toy", [tensor(rows)], callback=lambda **_: answer.set())
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] > 1000)
        call.cancel()
        assert answer.wait(60)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] == 0)
        assert service.score_ks()["rows"] == 0
        assert client.infer("toy", [tensor()]).as_numpy("score").shape == (5,)


def test_sigterm_answers_calls_in_flight(image_bundle_path: Path) -> None:
    rows = instances(40_000, SHAPE)
    with running_service(image_bundle_path, grpc_port=0, max_queue_rows=200_000) as service:
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as client:
            answers: list[Any] = []
            thread = threading.Thread(target=lambda: answers.append(client.infer("toy", [tensor(rows)])))
            thread.start()
            wait_until(lambda: service.metrics()["harmgauge_batch_rows_count"][0][1] > 0)
            begin = time.monotonic()
            service.terminate()
            assert service.wait() == 0
            assert time.monotonic() - begin < 10
            thread.join()
            assert answers[0].as_numpy("score").shape == (40_000,)
        assert not service.said("Traceback")


def test_grpc_is_off_unless_asked_for(image_service: RunningService) -> None:
    assert not image_service.said("gRPC")


def test_a_port_that_is_taken_is_said(image_bundle_path: Path, service: RunningService) -> None:
    with (
        pytest.raises(AssertionError, match="cannot listen on 127.0.0.1:.* for gRPC"),
        running_service(image_bundle_path, grpc_port=grpc_port(service)),
    ):
        pass
