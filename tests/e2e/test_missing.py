"""Rows with missing values in the real process: scored over every interface, captured, monitored, and rejected if
necessary.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc
from tritonclient.grpc import InferInput, service_pb2, service_pb2_grpc

from harmgauge.api.body.json_body import MAX_LOOSE_BYTES
from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge.bundle.samples import read_samples
from harmgauge.capture.reading import Captured, Wanted
from harmgauge.capture.table import instance
from harmgauge.cli.client import Client
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.inference.scorer import Scorer
from tests.support.bodies import npy
from tests.support.process import RunningService, grpc_port, run_here, running_service, wait_until
from tests.support.shadows import look
from tests.support.swapping import KEY_LINE
from tests.support.toy import instances, toy_bundle, toy_table_bundle, with_gaps

COLUMNS = 14
GAPS = with_gaps(instances(30, (COLUMNS,), "float32", seed=5))
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_table_bundle(tmp_path_factory.mktemp("table"), percentile=60.0)


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[RunningService]:
    other = toy_table_bundle(bundle.parent.parent, percentile=70.0)
    with running_service(bundle, grpc_port=0, admin_keys=KEY_LINE, shadow=other) as running:
        yield running


@pytest.fixture(scope="module")
def expected(bundle: Path) -> Array:
    """The expected scores of GAPS."""
    return OnnxRuntime(load(bundle), "cpu").run(GAPS).score


def with_nulls(rows: Array) -> Any:
    nested = rows.astype(object)
    nested[np.isnan(rows)] = None
    return nested.tolist()


def tensor(**more: Any) -> dict[str, Any]:
    return {"name": "input", "datatype": "FP32", "shape": list(GAPS.shape), **more}


def by_http(service: RunningService, path: str, body: bytes, **headers: str) -> Any:
    answer = service.client.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    return document["scores"] if "scores" in document else document["outputs"][0]["data"]


def test_every_way_in_takes_them(service: RunningService, expected: Array, bundle: Path) -> None:
    score, infer = "/score", "/v2/models/toy/infer"
    binary = json.dumps({"inputs": [tensor(parameters={"binary_data_size": GAPS.nbytes})]}).encode()
    flat = with_nulls(GAPS.reshape(-1))
    found = {
        "json": by_http(service, score, json.dumps({"instances": with_nulls(GAPS)}).encode(), **JSON),
        "npy": by_http(service, score, npy(GAPS), **{"Content-Type": "application/x-npy"}),
        "npy of doubles": by_http(service, score, npy(GAPS.astype(">f8")), **{"Content-Type": "application/x-npy"}),
        "raw": by_http(service, score, GAPS.tobytes(), **{"Content-Type": "application/octet-stream"}),
        "v2": by_http(service, infer, json.dumps({"inputs": [tensor(data=flat)]}).encode(), **JSON),
        "v2 nested": by_http(service, infer, json.dumps({"inputs": [tensor(data=with_nulls(GAPS))]}).encode(), **JSON),
        "v2 binary": by_http(
            service, infer, binary + GAPS.tobytes(), **{"Inference-Header-Content-Length": str(len(binary))}
        ),
        "grpc": grpc_scores(service),
        "grpc typed": typed_scores(service),
        "python": Scorer(load(bundle), "cpu").score(GAPS).scores,
    }
    with Client(f"http://127.0.0.1:{service.port}") as client:
        found["client"] = client.score(GAPS)["scores"]
    for way, scores in found.items():
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=way)
    filled = OnnxRuntime(load(bundle), "cpu").run(np.nan_to_num(GAPS, nan=0.5)).score
    assert np.abs(filled - expected).max() > 0.1, "what is missing counts"


def grpc_scores(service: RunningService) -> Array:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as client:
        made = InferInput("input", list(GAPS.shape), "FP32")
        made.set_data_from_numpy(GAPS)
        scores: Array = client.infer("toy", [made]).as_numpy("score")
        return scores


def typed_scores(service: RunningService) -> list[float]:
    """The scores over gRPC with the numbers in `fp32_contents`, as in the published protocol."""
    request = service_pb2.ModelInferRequest(model_name="toy")
    made = request.inputs.add(name="input", datatype="FP32", shape=GAPS.shape)
    made.contents.fp32_contents.extend(GAPS.reshape(-1).tolist())
    with tritonclient.grpc.grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    return list(answer.outputs[0].contents.fp32_contents)


def test_a_large_table_with_nulls_needs_no_slow_reader(service: RunningService) -> None:
    rows = with_gaps(instances(2000, (COLUMNS,), "float32", seed=6))
    body = json.dumps({"instances": with_nulls(rows)}).encode()
    assert len(body) > 4 * MAX_LOOSE_BYTES
    scores = by_http(service, "/score", body, **JSON)
    np.testing.assert_allclose(scores, service.score(rows)["scores"], atol=1e-5)
    flat = json.dumps({"inputs": [tensor(data=with_nulls(rows.reshape(-1))) | {"shape": [2000, COLUMNS]}]}).encode()
    np.testing.assert_allclose(by_http(service, "/v2/models/toy/infer", flat, **JSON), scores, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b'{"instances":[[NaN%s]]}' % (b",1" * 13), "application/json", 400, "cannot be read as JSON"),
        (b'{"instances":[[1e39%s]]}' % (b",1" * 13), "application/json", 422, "a finite float32, or NaN for a missing"),
        (b'{"instances":[["a"%s]]}' % (b",1" * 13), "application/json", 422, "for a missing value, got the string"),
        (b'{"instances":[null]}', "application/json", 422, "instances[0]: expected a list of length 14, got null"),
        (b'{"instances":null}', "application/json", 422, "expected a list of instances, got null"),
        (np.full(14, np.inf, np.float32).tobytes(), "application/octet-stream", 422, "got inf"),
    ],
)  # fmt: skip
def test_what_is_no_missing_value_is_refused(
    service: RunningService, body: bytes, kind: str, status: int, words: str
) -> None:
    answer = service.client.post("/score", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_documents_say_that_values_may_be_missing(service: RunningService) -> None:
    assert service.client.get("/info").json()["input"]["missing"] is True
    document = service.client.get("/openapi.json").json()
    content = document["paths"]["/score"]["post"]["requestBody"]["content"]
    instances_schema = content["application/json"]["schema"]["properties"]["instances"]
    assert instances_schema["items"]["items"]["type"] == ["number", "null"]
    assert "null" in instances_schema["description"]
    assert "NaN" in content["application/x-npy"]["schema"]["description"]
    metadata = service.client.get("/v2/models/toy").json()
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, COLUMNS]}]


def test_check_and_demo_run_on_them(service: RunningService, bundle: Path) -> None:
    checked = run_here("check", bundle=bundle)
    assert checked.returncode == 0, checked.stderr
    assert "4 sample instances" in checked.stdout
    shown = run_here("demo", bundle=bundle, port=service.port)
    assert shown.returncode == 0, shown.stderr
    assert "Each row is a separate request" in shown.stdout
    assert np.isnan(read_samples(load(bundle)).clean).any()


def test_what_is_captured_comes_back_with_its_gaps(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "captured"
    with running_service(bundle, capture_dir=folder) as service:
        flagged = np.flatnonzero(service.score(GAPS)["is_adversarial"])
        service.terminate()
        assert service.wait() == 0
    assert len(flagged) > 3
    spec = load(bundle).manifest.input
    rows = [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    np.testing.assert_array_equal(np.stack([instance(row["input"], spec) for row in rows]), GAPS[flagged])
    (table,) = Captured(str(folder)).tables(Wanted(), ["input"], lambda *_: None)
    assert '"missing":true' in table.column("input_spec")[0].as_py()
    made = run_here("captured", str(folder), "--html", str(tmp_path / "sheet.html"))
    assert made.returncode == 0, made.stderr
    assert " missing" in (tmp_path / "sheet.html").read_text()


def test_a_shadow_scores_them_too(service: RunningService) -> None:
    before = look(service)["scored_rows"]
    service.score(GAPS)
    wait_until(lambda: look(service)["scored_rows"] >= before + len(GAPS))
    assert not any(look(service)["failed_rows"].values())


def test_they_become_the_next_reference(service: RunningService, bundle: Path, tmp_path: Path) -> None:
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.05):
            service.score(GAPS)

    sender = threading.Thread(target=send)
    sender.start()
    done = run_here("reference", "--rows", "100", "--out", str(tmp_path), bundle=bundle, port=service.port)
    ended.set()
    sender.join()
    assert done.returncode == 0, done.stderr
    new = load(next(tmp_path.glob("toy/*")))
    assert len(new.reference.scores) == 100
    assert new.manifest.input.missing


def test_a_bundle_that_takes_no_missing_values_says_what_to_do(tmp_path: Path) -> None:
    bundle = toy_bundle(tmp_path, shape=(3,), dtype="float32")
    with running_service(bundle) as service:
        stream = io.BytesIO()
        np.save(stream, np.array([[1, np.nan, 2]], np.float32))
        for body, kind, got in (
            (b'{"instances":[[1,null,2]]}', "application/json", "expected a number, got null"),
            (stream.getvalue(), "application/x-npy", "expected a finite float32, got nan"),
        ):
            answer = service.client.post("/score", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 422
            detail = answer.json()["detail"]
            assert detail.startswith(f"instances[0][1]: {got}; this input accepts no missing values: impute"), detail
        infer = {"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, None, 2]}
        answer = service.client.post("/v2/models/toy/infer", json={"inputs": [infer]})
        assert "data[1]: expected a number, got null; this input accepts no missing" in answer.json()["detail"]
        schema = service.client.get("/openapi.json").json()["paths"]["/score"]["post"]["requestBody"]["content"]
        assert "null" not in json.dumps(schema["application/json"]["schema"]["properties"]["instances"])
    with pytest.raises(ValueError, match="got NaN; this input accepts no missing values"):
        Scorer(load(bundle), "cpu").score(np.array([[1, np.nan, 2]], np.float32))
