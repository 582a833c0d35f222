"""The probability that a prediction is wrong, from a real process over every interface, and a bundle without it."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from harmgauge.bundle.load import Bundle, load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.inference.scorer import Scorer
from tests.support.bundles import edit
from tests.support.keys import ADMIN, API, METRICS, V2, ask, settings
from tests.support.process import RAW, RunningService, grpc_port, run_here, running_service
from tests.support.toy import instances, toy_autoencoder_bundle

SHAPE = (4, 4, 3)
ROWS = instances(60, SHAPE, seed=9)
NAME = "error_probability"
ALWAYS = {"model", "version", "threshold", "scores", "is_adversarial", "predictions"}

Chances = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def bundle(error_probability_bundle_path: Path) -> Bundle:
    return load(error_probability_bundle_path)


@pytest.fixture(scope="module")
def service(bundle: Bundle) -> Iterator[RunningService]:
    with running_service(bundle.path, grpc_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> Chances:
    found = OnnxRuntime(bundle, "cpu").run(ROWS).error_probability
    assert found is not None
    assert len(np.unique(found)) > 50
    assert 0 < found.min() < found.max() < 1
    return found


def check(found: object, expected: Chances) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)


def post(service: RunningService, content: bytes, media_type: str, query: str = f"?{NAME}=true") -> httpx.Response:
    answer = service.client.post(f"/score{query}", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == 200, answer.text
    return answer


def test_json_bodies_ask_in_their_parameters(service: RunningService, expected: Chances) -> None:
    def score(parameters: Mapping[str, bool | None]) -> dict[str, Any]:
        body = json.dumps({"instances": ROWS.tolist(), "parameters": parameters}).encode()
        document: dict[str, Any] = post(service, body, "application/json", "").json()
        return document

    for nothing in ({}, {NAME: False}, {NAME: None}, {"probabilities": False}):
        assert score(nothing).keys() == ALWAYS, "nothing that was not asked for"
    answer = score({NAME: True})
    assert list(answer) == ["model", "version", "threshold", "scores", NAME, "is_adversarial", "predictions"]
    check(answer[NAME], expected)
    assert answer[NAME] == [float(np.float32(chance)) for chance in answer[NAME]], "the very numbers that count"
    assert score({NAME: True, "probabilities": True}).keys() == ALWAYS | {NAME, "probabilities"}


def test_every_other_body_asks_in_the_query(service: RunningService, expected: Chances) -> None:
    packed, picture = io.BytesIO(), io.BytesIO()
    np.save(packed, ROWS)
    Image.fromarray(ROWS[0]).save(picture, "PNG")
    check(post(service, ROWS.tobytes(), "application/octet-stream").json()[NAME], expected)
    check(post(service, packed.getvalue(), "application/x-npy").json()[NAME], expected)
    check(post(service, picture.getvalue(), "image/png").json()[NAME], expected[:1])
    body = json.dumps({"instances": ROWS.tolist()}).encode()
    check(post(service, body, "application/json").json()[NAME], expected)
    plain = post(service, ROWS.tobytes(), "application/octet-stream", "").json()
    assert plain.keys() == ALWAYS


def test_large_answers_have_it_in_order(service: RunningService, expected: Chances) -> None:
    rows = np.concatenate([ROWS] * 68)  # more than FEW_ROWS
    answer = post(service, rows.tobytes(), "application/octet-stream").json()
    check(answer[NAME], np.tile(expected, 68))
    whole = post(service, rows.tobytes(), "application/octet-stream", f"?{NAME}=true&probabilities=true").json()
    assert len(whole["probabilities"]) == len(rows)
    check(whole[NAME], np.tile(expected, 68))


@pytest.mark.parametrize("query", ["error_probability", "error_probability=1", "error_probabilities=true"])
def test_what_is_no_flag_is_refused(service: RunningService, query: str) -> None:
    answer = service.client.post(f"/score?{query}", content=ROWS.tobytes(), headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameters")


def test_open_inference_protocol_over_rest(service: RunningService, expected: Chances) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{service.port}")
    offered = client.get_model_metadata("toy")["outputs"]
    assert offered[-1] == {"name": NAME, "datatype": "FP32", "shape": [-1]}
    tensor = tritonclient.http.InferInput("input", list(ROWS.shape), "UINT8")
    tensor.set_data_from_numpy(ROWS)
    for binary in (False, True):
        wanted = [tritonclient.http.InferRequestedOutput(NAME, binary_data=binary)]
        result = client.infer("toy", [tensor], outputs=wanted)
        assert [output["name"] for output in result.get_response()["outputs"]] == [NAME]
        check(result.as_numpy(NAME), expected)
    everything = client.infer("toy", [tensor]).get_response()["outputs"]
    assert [output["name"] for output in everything] == [output["name"] for output in offered]
    client.close()


def test_open_inference_protocol_over_grpc(service: RunningService, expected: Chances) -> None:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as client:
        output = client.get_model_metadata("toy").outputs[-1]
        assert (output.name, output.datatype, list(output.shape)) == (NAME, "FP32", [-1])
        tensor = tritonclient.grpc.InferInput("input", list(ROWS.shape), "UINT8")
        tensor.set_data_from_numpy(ROWS)
        for wanted in ([tritonclient.grpc.InferRequestedOutput(NAME)], None):
            check(client.infer("toy", [tensor], outputs=wanted).as_numpy(NAME), expected)


def test_info_says_what_it_was_calibrated_on(service: RunningService, bundle: Bundle) -> None:
    found, info = bundle.error_probability, service.client.get("/info").json()
    assert found is not None
    assert info[NAME] == {
        "base": found.base, "kappa": found.kappa, "rows": 600, "copies": 3, "target": "wrong"
    }  # fmt: skip
    assert info["error_probability_reason"] is None
    assert service.client.get("/page/info").json()[NAME] == info[NAME]


def test_the_openapi_page_documents_it(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert NAME in schemas["ScoreAnswer"]["properties"]
    assert {NAME, "error_probability_reason"} <= schemas["InfoAnswer"]["properties"].keys()
    operation = document["paths"]["/score"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["parameters"]["properties"][NAME] == {"type": ["boolean", "null"]}
    assert NAME in [parameter["name"] for parameter in operation["parameters"]]


def test_8_bits_have_their_own(bundle: Bundle) -> None:
    small = load(bundle.path, "int8")
    expected = OnnxRuntime(small, "cpu").run(ROWS).error_probability
    assert expected is not None
    assert small.error_probability is not None
    with running_service(bundle.path, precision="int8") as service:
        check(post(service, ROWS.tobytes(), "application/octet-stream").json()[NAME], expected)
        assert service.client.get("/info").json()[NAME]["base"] == small.error_probability.base


def test_keys_that_get_flags_only_see_nothing_of_it(bundle: Bundle) -> None:
    with running_service(bundle.path, grpc_port=0, **settings(flags_only="true")) as service:

        def score(key: str, **parameters: bool) -> httpx.Response:
            return ask(service, "POST", "/score", key, json={"instances": ROWS.tolist(), "parameters": parameters})

        for parameters in ({NAME: True}, {NAME: True, "probabilities": True}):
            assert score(API[0], **parameters).status_code == 403
        refused = score(API[0], error_probability=True).json()
        assert (refused["code"], "leave 'error_probability' out" in refused["detail"]) == ("forbidden", True)
        assert score(API[0], error_probability=False).json().keys() == {
            "model", "version", "is_adversarial", "predictions"
        }  # fmt: skip
        assert NAME in score(ADMIN[0], error_probability=True).json()

        outputs = ask(service, "GET", "/v2/models/toy", API[0]).json()["outputs"]
        assert [output["name"] for output in outputs] == ["is_adversarial", "predictions"]
        asked = {**V2, "outputs": [{"name": NAME}]}
        assert ask(service, "POST", "/v2/models/toy/infer", API[0], json=asked).status_code == 422
        answer = ask(service, "POST", "/v2/models/toy/infer", API[0], json=V2).json()
        assert [output["name"] for output in answer["outputs"]] == ["is_adversarial", "predictions"]
        assert ask(service, "POST", "/v2/models/toy/infer", ADMIN[0], json=asked).status_code == 200

        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port(service)}") as client:
            own = {"authorization": f"Bearer {API[0]}"}
            described = client.get_model_metadata("toy", headers=own)
            assert [output.name for output in described.outputs] == ["is_adversarial", "predictions"]
            tensor = tritonclient.grpc.InferInput("input", list(ROWS.shape), "UINT8")
            tensor.set_data_from_numpy(ROWS)
            wanted = [tritonclient.grpc.InferRequestedOutput(NAME)]
            with pytest.raises(InferenceServerException, match=f"Unknown output '{NAME}'"):
                client.infer("toy", [tensor], outputs=wanted, headers=own)

        flags, everything = (ask(service, "GET", "/info", key).json() for key in (API[0], METRICS[0]))
        assert everything.keys() - flags.keys() == {"threshold", NAME, "error_probability_reason", "detectable"}


def test_a_bundle_without_it_gives_the_reason(image_bundle_path: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(image_bundle_path, tmp_path / "copy"))
    edit(folder, lambda manifest: manifest.update(error_probability="the score is no second network's"))
    with running_service(folder, grpc_port=0) as service:
        refused = service.client.post(f"/score?{NAME}=true", content=ROWS.tobytes(), headers=RAW)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameters")
        assert "toy/1 offers no error probability (the score is no second network's)" in refused.json()["detail"]
        assert service.score(ROWS).keys() == ALWAYS
        assert service.score_ks()["rows"] == len(ROWS), "what was refused is in no window"
        info = service.client.get("/info").json()
        assert (info[NAME], info["error_probability_reason"]) == (None, "the score is no second network's")
        asked = {**V2, "outputs": [{"name": NAME}]}
        refused = service.client.post("/v2/models/toy/infer", json=asked)
        assert (refused.status_code, f"Unknown output '{NAME}'" in refused.text) == (422, True)
        outputs = service.client.get("/v2/models/toy").json()["outputs"]
        assert NAME not in [output["name"] for output in outputs]
    with running_service(folder, **settings(flags_only="true")) as service:
        refused = ask(service, "POST", f"/score?{NAME}=true", API[0], content=ROWS.tobytes(), headers=RAW)
        assert refused.status_code == 403, "not even why"


def test_check_prints_it_or_why_there_is_none(bundle: Bundle, image_bundle_path: Path, tmp_path: Path) -> None:
    for precision in ("float32", "int8"):
        found = load(bundle.path, precision).error_probability
        assert found is not None
        line = (
            f"  error probability: base accuracy {1 - found.base:.4f}, kappa 0.1; fitted on 600 rows and 3 disturbed "
            "copies of each; target: wrong predictions\n"
        )
        assert line in run_here("check", bundle=bundle.path, precision=precision).stdout
    unlabelled = Path(shutil.copytree(bundle.path, tmp_path / "unlabelled"))
    edit(unlabelled, lambda manifest: manifest[NAME].update(target="changed"))
    assert "unchanged, kappa 0.1; " in run_here("check", bundle=unlabelled).stdout
    other = Path(shutil.copytree(image_bundle_path, tmp_path / "other"))
    edit(other, lambda manifest: manifest.update(error_probability="no\nlabels\x1b[2J"))
    assert "  no error probability: no labels [2J\n" in run_here("check", bundle=other).stdout


def test_it_comes_with_a_correction_too(tmp_path: Path) -> None:
    folder = toy_autoencoder_bundle(tmp_path, error_probability=True)
    expected = Scorer(load(folder)).score(ROWS)
    assert expected.error_probability is not None
    with running_service(folder) as service:
        answer = post(service, ROWS.tobytes(), "application/octet-stream", f"?correct=true&{NAME}=true").json()
        check(answer[NAME], expected.error_probability)
        assert {"corrected", "no_defense", "defense"} <= answer.keys()
        names = [output["name"] for output in service.client.get("/v2/models/toy").json()["outputs"]]
        assert (names[-1], names[-2]) == (NAME, "defense_probabilities")
        body = {"inputs": [{"name": "input", "shape": list(ROWS.shape), "datatype": "UINT8", "data": ROWS.tolist()}]}
        outputs = service.client.post("/v2/models/toy/infer", json=body).json()["outputs"]
        check(next(output for output in outputs if output["name"] == NAME)["data"], expected.error_probability)


def test_in_process_each_row_keeps_its_own(bundle: Bundle, expected: Chances) -> None:
    rows = np.concatenate([ROWS] * 3)  # several batches
    found = Scorer(bundle).score(rows).error_probability
    assert found is not None
    check(found, np.tile(expected, 3))


def test_a_manifest_that_promises_too_much_is_not_served(bundle: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    edit(folder, lambda manifest: manifest[NAME].update(slope=1.0))
    done = run_here("check", bundle=folder)
    assert done.returncode != 0
    assert re.search(r"error_probability.*slope: Input should be less than 0", done.stderr)
