"""The real process with bundles of 14 columns, tokens and strings: every protocol gives the scores of the graph."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tokenizers
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from harmgauge.bundle.load import load
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.cli.main import main
from harmgauge.inference.scorer import Scorer
from tests.support.process import RunningService, running_service
from tests.support.shadows import load_shadow, look, promote
from tests.support.swapping import KEY_LINE, swap
from tests.support.toy_named import NUMBERS, padded, table_rows, token_rows, toy_strings, toy_table, toy_tokens

PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
NPZ = {"Content-Type": "application/x-npz"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_table(tmp_path_factory.mktemp("table"), unknown="flag")


@pytest.fixture(scope="module")
def service(table: Path) -> Iterator[RunningService]:
    with running_service(table, GRPC_PORT=0, ACCESS_LOG="all") as service:
        yield service


def records(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    arrays = table_rows(rows, seed)
    return [{name: array[at, 0].item() for name, array in arrays.items()} for at in range(rows)]


def direct(folder: Path, arrays: dict[str, np.ndarray]) -> list[float]:
    inputs = load(folder).manifest.served
    assert isinstance(inputs, NamedInputs)
    return [float(score) for score in Scorer(load(folder), "cpu").score(inputs.rows(arrays)).scores]


def scores(service: RunningService, content: bytes, headers: dict[str, str]) -> list[float]:
    answer = service.client.post("/score", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[float] = answer.json()["scores"]
    return found


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def grpc_address(service: RunningService) -> str:
    line = next(line for line in service.log if "gRPC" in line)
    return f"127.0.0.1:{line.rpartition(':')[2].split()[0].rstrip('.')}"


def tensors(module: Any, arrays: dict[str, np.ndarray], **options: Any) -> list[Any]:
    made = []
    for name, array in arrays.items():
        datatype = {"f": "FP32", "i": "INT64"}.get(array.dtype.kind, "BYTES")
        tensor = module.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array.astype(object) if datatype == "BYTES" else array, **options)
        made.append(tensor)
    return made


def test_14_columns_score_the_same_by_records_npz_parquet_and_v2(service: RunningService, table: Path) -> None:
    arrays = table_rows(60, 3)
    expected = direct(table, arrays)
    assert len(set(expected)) > 50
    assert (
        scores(service, json.dumps({"instances": records(60, 3)}).encode(), {"Content-Type": "application/json"})
        == expected
    )
    assert scores(service, npz(arrays), NPZ) == expected
    stream = io.BytesIO()
    pd.DataFrame({name: array[:, 0] for name, array in arrays.items()}).to_parquet(stream, index=False)
    assert scores(service, stream.getvalue(), PARQUET) == expected
    http = triton_http.InferenceServerClient(f"127.0.0.1:{service.port}")
    for binary in (True, False):
        answer = http.infer("table", tensors(triton_http, arrays, binary_data=binary))
        assert answer.as_numpy("score").tolist() == expected
    grpc = triton_grpc.InferenceServerClient(grpc_address(service))
    assert grpc.infer("table", tensors(triton_grpc, arrays)).as_numpy("score").tolist() == expected
    metadata = http.get_model_metadata("table")["inputs"]
    assert metadata[0] == {"name": "age", "datatype": "FP32", "shape": [-1, 1]}
    assert metadata[-1] == {"name": "native_country", "datatype": "BYTES", "shape": [-1, 1]}


def test_unknown_categories_are_flagged_and_counted_and_nothing_of_them_is_logged(service: RunningService) -> None:
    secret = "Secretland-4711"
    rows = records(3, 9)
    rows[1]["native_country"] = secret
    before = {labels["column"]: value for labels, value in service.metrics()["harmgauge_values_unseen_total"]}
    answer = service.client.post("/score", json={"instances": rows}).json()
    plain = service.client.post("/score", json={"instances": [rows[0], rows[2]]}).json()
    assert answer["is_adversarial"][1] is True
    assert answer["scores"][::2] == plain["scores"]
    assert service.client.post("/score", json={"instances": [{**rows[0], "age": secret}]}).status_code == 422
    after = {labels["column"]: value for labels, value in service.metrics()["harmgauge_values_unseen_total"]}
    assert after["native_country"] == before["native_country"] + 1
    assert after["race"] == before["race"]
    assert not service.said(secret)


def test_info_and_openapi_describe_the_columns(service: RunningService) -> None:
    info = service.client.get("/info").json()
    assert [found["name"] for found in info["inputs"]][: len(NUMBERS)] == list(NUMBERS)
    assert info["inputs"][0]["missing"] is True
    assert "input" not in info
    document = service.client.get("/openapi.json").json()
    content = document["paths"]["/score"]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json", "application/x-npz", "application/vnd.apache.parquet"]
    record = content["application/json"]["schema"]["properties"]["instances"]["items"]
    assert record["properties"]["age"] == {"type": ["number", "null"]}
    assert record["properties"]["race"] == {"type": "string", "maxLength": 131072}
    assert "age" not in record["required"]


def test_a_refused_category_is_counted(tmp_path: Path) -> None:
    with running_service(toy_table(tmp_path, unknown="refuse")) as service:
        row = {**records(1)[0], "race": "Martian"}
        answer = service.client.post("/score", json={"instances": [row]})
        assert answer.status_code == 422
        assert "instances[0].race: 'Martian' is not one of its 4 categories." in answer.json()["detail"]
        counts = {labels["column"]: value for labels, value in service.metrics()["harmgauge_values_unseen_total"]}
        assert counts["race"] == 1


def test_rows_of_unequal_lengths_score_as_alone_over_every_protocol(tmp_path: Path) -> None:
    folder, rows = toy_tokens(tmp_path), token_rows(200, 4)
    expected = direct(folder, padded(rows))
    with running_service(folder) as service:
        content = json.dumps({"instances": rows}).encode()
        found = scores(service, content, {"Content-Type": "application/json"})
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(scores(service, npz(padded(rows)), NPZ), expected, rtol=1e-5)
        stream = io.BytesIO()
        pd.DataFrame(rows).to_parquet(stream, index=False)
        np.testing.assert_allclose(scores(service, stream.getvalue(), PARQUET), expected, rtol=1e-5)
        http = triton_http.InferenceServerClient(f"127.0.0.1:{service.port}")
        for binary in (True, False):
            answer = http.infer("tokens", tensors(triton_http, padded(rows), binary_data=binary))
            np.testing.assert_allclose(answer.as_numpy("score"), expected, rtol=1e-5)
        bad = [*rows[:2], {"input_ids": [1], "attention_mask": [1, 1]}]
        assert service.client.post("/score", json={"instances": bad}).status_code == 422
        assert service.score_ks()["rows"] == 100, "a window of 100 rows, all of them good"


def test_strings_are_scored_in_every_form(tmp_path: Path) -> None:
    folder = toy_strings(tmp_path)
    expected = direct(folder, {"message": np.array([["Private"], ["caf\u00e9"]])})
    with running_service(folder) as service:
        for instances in (["Private", "caf\u00e9"], [{"message": "Private"}, {"message": "caf\u00e9"}]):
            answer = service.client.post("/score", json={"instances": instances})
            assert answer.json()["scores"] == expected
        http = triton_http.InferenceServerClient(f"127.0.0.1:{service.port}")
        sent = tensors(triton_http, {"message": np.array([["Private"], ["caf\u00e9"]])})
        assert http.infer("strings", sent).as_numpy("score").tolist() == expected


def test_texts_are_tokenized_by_the_bundles_own_tokenizer(tmp_path: Path) -> None:
    words = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "free", "money", "hello", "now", "you"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    preparation = {"text": {"tokenizer": "tokenizer.json"}}
    folder = toy_tokens(tmp_path, preparation=preparation, files={"tokenizer.json": tokenizer.to_str().encode()})
    expected = direct(
        folder, {"input_ids": np.array([[2, 3, 5], [4, 6, 0]]), "attention_mask": np.array([[1] * 3, [1, 1, 0]])}
    )
    with running_service(folder) as service:
        for instances in (["free money now", "hello you"], [{"text": "free money now"}, {"text": "hello you"}]):
            answer = service.client.post("/score", json={"instances": instances})
            np.testing.assert_allclose(answer.json()["scores"], expected, rtol=1e-5)
        stream = io.BytesIO()
        pd.DataFrame({"text": ["free money now", "hello you"]}).to_parquet(stream, index=False)
        np.testing.assert_allclose(scores(service, stream.getvalue(), PARQUET), expected, rtol=1e-5)
        http = triton_http.InferenceServerClient(f"127.0.0.1:{service.port}")
        sent = tensors(triton_http, {"text": np.array(["free money now", "hello you"])})
        np.testing.assert_allclose(http.infer("tokens", sent).as_numpy("score"), expected, rtol=1e-5)
        for text, why in (
            ("free " * 33, "has 33 tokens; expected 1 to 32"),
            ("", "has 0 tokens"),
            (7, "expected a text"),
        ):
            answer = service.client.post("/score", json={"instances": ["free", text]})
            assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.text
        assert service.client.get("/info").json()["tokenizer"] is True
    (folder / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(AssertionError, match="differ|bytes"), running_service(folder):
        pass


def test_capture_keeps_columns_without_those_left_out(tmp_path: Path) -> None:
    captured = tmp_path / "captured"
    folder = toy_table(tmp_path, unknown="flag")
    options = {"CAPTURE_DIR": captured, "CAPTURE_EXCLUDED_COLUMNS": "age, race"}
    with running_service(folder, **options) as service:
        rows = [{**row, "race": "new", "occupation": "<b>caf\u00e9</b>"} for row in records(3)]
        assert service.client.post("/score", json={"instances": rows}).json()["is_adversarial"] == [True] * 3
        service.terminate()
        assert service.wait() == 0
    (file,) = captured.iterdir()
    table = pq.read_table(file)
    kept = [name for name in table.column_names if name.startswith("input.")]
    assert kept == [f"input.{name}" for name in rows[0] if name not in {"age", "race"}]
    assert table.column("input.occupation").to_pylist() == ["<b>caf\u00e9</b>"] * 3
    assert main(["captured", str(captured), "--html", str(tmp_path / "sheet.html")]) == 0
    sheet = (tmp_path / "sheet.html").read_text()
    assert "&lt;b&gt;caf\u00e9&lt;/b&gt;" in sheet
    assert "<b>caf\u00e9" not in sheet
    with (
        pytest.raises(AssertionError, match="the bundle has no column 'height'"),
        running_service(folder, CAPTURE_DIR=captured, CAPTURE_EXCLUDED_COLUMNS="height"),
    ):
        pass


def test_check_demo_swap_and_shadow_take_named_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = toy_tokens(tmp_path / "first"), toy_tokens(tmp_path / "second", seed=5)
    monkeypatch.setenv("HARMGAUGE_BUNDLE", str(first))
    assert main(["check"]) == 0
    assert "input 'input_ids': int64 (n, length), at most 32" in capsys.readouterr().out
    with running_service(first, admin_keys=KEY_LINE, OPEN="all") as service:
        assert load_shadow(service, second).status_code == 200
        monkeypatch.setenv("HARMGAUGE_PORT", str(service.port))
        assert main(["demo"]) == 0
        assert service.client.get("/drift").json()["detectors"]["score_ks"]["rows"] == 100
        assert look(service)["scored_rows"] > 100
        assert promote(service).status_code == 200
        rows = token_rows(3)
        found = service.client.post("/score", json={"instances": rows}).json()["scores"]
        np.testing.assert_allclose(found, direct(second, padded(rows)), rtol=1e-5)
        refused = swap(service, toy_tokens(tmp_path / "third", pad_value=None))
        assert refused.status_code == 422
        assert "input 'input_ids': pad_value" in refused.json()["detail"]
    capsys.readouterr()
