"""KServe's unmodified Python clients, in a separate environment: they are 450 MB and pin other libraries."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.inference.runtime import OnnxRuntime
from tests.conftest import ROOT
from tests.support.process import RunningService, grpc_port, running_service
from tests.support.toy import instances
from tests.support.toy_named import table_rows, toy_table

WAYS = ("rest_json", "rest_binary", "grpc", "grpc_typed")

PYTHON = ROOT / ".venv-kserve" / "bin" / "python"


@pytest.fixture
def kserve_python() -> Path:
    if not PYTHON.exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have KServe's client: make install-kserve")
        pytest.skip("KServe's client is not installed: make install-kserve")
    return PYTHON


def responses(python: Path, service: RunningService, model: str, rows: dict[str, np.ndarray], folder: Path) -> Any:
    """The outputs that KServe's clients receive for these rows, by the way they are sent."""
    np.savez(folder / "rows.npz", allow_pickle=False, **rows)
    client = ROOT / "tests" / "support" / "kserve_client.py"
    addresses = [f"http://127.0.0.1:{service.port}", f"127.0.0.1:{grpc_port(service)}"]
    command = [str(python), str(client), *addresses, model, str(folder / "rows.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("bundle_path", ["image_bundle_path", "error_probability_bundle_path"])
def test_kserves_clients_score_over_rest_and_grpc(
    kserve_python: Path, bundle_path: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path: Path = request.getfixturevalue(bundle_path)
    rows = instances(5, (4, 4, 3), seed=9)
    expected = OnnxRuntime(load(path), "cpu").run(rows)
    more = {} if expected.error_probability is None else {"error_probability": expected.error_probability}
    with running_service(path, grpc_port=0) as service:
        found = responses(kserve_python, service, "toy", {"input": rows}, tmp_path)
        for name in ("live", "ready", "model_ready", "grpc_live", "grpc_ready", "grpc_model_ready"):
            assert found[name] is True, name
        for way in WAYS:
            assert set(found[way]) == {"score", "is_adversarial", "predictions", "probabilities", *more}
            np.testing.assert_allclose(found[way]["score"], expected.score, atol=1e-5)
            np.testing.assert_allclose(found[way]["probabilities"], expected.probabilities, atol=1e-5)
            assert found[way]["predictions"] == expected.probabilities.argmax(1).tolist()
            for name, values in more.items():
                np.testing.assert_allclose(found[way][name], values, atol=1e-6)
        assert service.score_ks()["rows"] == 20


def test_kserves_clients_send_columns_of_strings_and_numbers(kserve_python: Path, tmp_path: Path) -> None:
    path, rows = toy_table(tmp_path), table_rows(200, 5)  # 1,600 strings
    bundle = load(path)
    inputs = bundle.manifest.served
    assert isinstance(inputs, NamedInputs)
    expected = OnnxRuntime(bundle, "cpu").run(inputs.rows(rows))
    with running_service(path, grpc_port=0) as service:
        found = responses(kserve_python, service, "table", rows, tmp_path)
    for way in WAYS:
        assert found[way]["score"] == expected.score.tolist(), way
        assert found[way]["predictions"] == expected.probabilities.argmax(1).tolist()
