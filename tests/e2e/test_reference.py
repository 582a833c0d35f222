"""`harmgauge reference`: the scores of the service become the reference of a new bundle, if there are enough."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import load
from harmgauge.bundle.write import reserve, write_bundle
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify
from tests.support.forking import start
from tests.support.process import RunningService, environment, run_here, running_service
from tests.support.toy import instances, toy_bundle, two_layers
from tests.support.toy_named import token_rows, toy_tokens

SHAPE = (4, 4, 3)


def dark(seed: int) -> list[Any]:
    """Ten dark images."""
    found: list[Any] = (instances(10, SHAPE, seed=seed) // 3).tolist()
    return found


@contextmanager
def traffic(service: RunningService, made: Callable[[int], list[Any]] = dark) -> Iterator[list[float]]:
    """Send instances, by seed, until the end; yields the returned scores."""
    answered: list[float] = []
    ended = threading.Event()

    def send() -> None:
        seed = 0
        while not ended.is_set():
            answer = service.client.post("/score", json={"instances": made(seed)})
            assert answer.status_code == 200, answer.text
            answered.extend(answer.json()["scores"])
            seed += 1
            ended.wait(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield answered
    finally:
        ended.set()
        sender.join()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    networks = two_layers(folder / "first.onnx", 1), two_layers(folder / "other.onnx", 2)
    return toy_bundle(folder, int8=True, networks=networks)


@pytest.fixture
def bundle_path(built: Path, tmp_path: Path) -> Path:
    """A copy, beside which the next version is written."""
    return Path(shutil.copytree(built, tmp_path / "bundles" / "toy" / "1"))


def test_new_version_with_its_provenance(bundle_path: Path) -> None:
    before = {file: file.read_bytes() for file in bundle_path.rglob("*") if file.is_file()}
    old = load(bundle_path)
    with running_service(bundle_path) as service, traffic(service) as answered:
        done = run_here("reference", "--rows", "300", bundle=bundle_path, port=service.port)
        assert done.returncode == 0, done.stderr
    assert "next: HARMGAUGE_BUNDLE=" in done.stdout
    assert "300 scores against the old reference: D = " in done.stdout
    assert {file: file.read_bytes() for file in bundle_path.rglob("*") if file.is_file()} == before

    new = load(bundle_path.parent / "2")
    assert len(new.reference.scores) == 300
    assert set(new.reference.scores) <= set(answered)
    assert len(np.unique(new.reference.scores)) == 300, "none twice"
    assert new.threshold == old.threshold
    assert new.reference.features is not None
    assert old.reference.features is not None
    assert new.reference.features.mean() == pytest.approx(old.reference.features.mean() / 3, rel=0.2)
    assert len(np.unique(new.reference.features, axis=0)) == len(new.reference.features), "none twice"
    assert new.reference.embedding is not None
    made = new.manifest.made["reference"]
    assert (made["rows"], made["bundle_sha256"], made["service"]) == (300, old.sha256, "toy/1 in float32")
    assert new.manifest.made["command"] == old.manifest.made["command"]
    assert load(new.path, "int8").reference.scores.tolist() == load(bundle_path, "int8").reference.scores.tolist()

    with running_service(new.path) as service:
        for seed in range(1000, 1010):
            service.score(instances(20, SHAPE, seed=seed) // 3)
        assert service.score_ks()["state"] == "ok", "dark images are normal now"
        for seed in range(10):
            service.score(instances(20, SHAPE, seed=seed))
        assert service.score_ks()["state"] == "drifting", "and bright ones are not"


def test_a_bundle_with_inputs_by_name_keeps_its_probe_and_its_samples(tmp_path: Path) -> None:
    path = toy_tokens(tmp_path)
    with running_service(path) as service, traffic(service, lambda seed: token_rows(10, seed + 50)) as answered:
        done = run_here("reference", "--rows", "200", bundle=path, port=service.port)
        assert done.returncode == 0, done.stderr
    old, new = load(path), load(path.parent / "2")
    assert set(new.reference.scores) <= set(answered)
    assert isinstance(old.reference.probe, dict)
    assert isinstance(new.reference.probe, dict)
    for name, array in old.reference.probe.items():
        np.testing.assert_array_equal(new.reference.probe[name], array)
    assert new.read("samples.npz") == old.read("samples.npz")
    with running_service(new.path) as service:
        rows = token_rows(3)
        assert len(service.client.post("/score", json={"instances": rows}).json()["scores"]) == 3


def test_more_rows_are_added_and_survive_acknowledgement(bundle_path: Path) -> None:
    """Confirmed rows belong to the bundle, so neither a reset nor a restart forgets them."""
    old = load(bundle_path)
    with running_service(bundle_path) as service, traffic(service) as answered:
        done = run_here("reference", "--more", "150", bundle=bundle_path, port=service.port)
        assert done.returncode == 0, done.stderr
    assert "warning: the new scores do not come from the distribution of the old reference" in done.stdout, (
        "dark images"
    )
    assert "score_evidence detects harmful traffic from a share of about 0.0" in done.stdout
    new = load(bundle_path.parent / "2")
    added = np.setdiff1d(new.reference.scores, old.reference.scores)
    assert len(new.reference.scores) == len(old.reference.scores) + 150
    assert len(added) == 150
    assert set(added) <= set(answered)
    assert new.threshold == old.threshold
    assert old.reference.features is not None
    assert new.reference.features is not None
    np.testing.assert_array_equal(new.reference.features[: len(old.reference.features)], old.reference.features)
    assert len(old.reference.features) < len(new.reference.features) <= 1000
    made = new.manifest.made["reference"]
    assert (made["rows"], made["added_to_rows"], made["added_to"]) == (150, 600, None)

    key, line = new_key("admin")
    with running_service(new.path, admin_keys=line) as service:
        reset = service.client.post("/admin/drift/reset", headers={"Authorization": f"Bearer {key}"})
        assert reset.status_code == 200
        assert service.client.get("/drift").json()["detectors"]["score_evidence"]["reference_rows"] == 750


def test_new_threshold_and_eight_bits(bundle_path: Path, tmp_path: Path) -> None:
    with running_service(bundle_path, precision="int8") as service, traffic(service):
        done = run_here(
            *("reference", "--rows", "200", "--new-threshold", "--out", str(tmp_path / "other"), "--version", "new"),
            bundle=bundle_path,
            port=service.port,
            precision="int8",
        )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "other" / "toy" / "new"
    narrow, wide, old = load(folder, "int8"), load(folder), load(bundle_path)
    assert narrow.threshold == np.float32(np.percentile(narrow.reference.scores, 95))
    assert "200 scores in service from" in narrow.threshold_spec.source
    assert (wide.threshold, len(wide.reference.scores)) == (old.threshold, 600)
    with running_service(folder, precision="int8") as service:
        service.score(instances(3, SHAPE))


def test_refusals_come_before_the_recording(bundle_path: Path, image_bundle_path: Path) -> None:
    with running_service(bundle_path) as service:
        for options, settings, message in (
            (("--rows", "50"), {}, "a reference needs at least 100 scores"),
            (("--rows", "0"), {}, "a reference needs at least 100 scores"),
            (("--more", "0"), {}, "--more 0: expected at least 1 score to add"),
            (("--version", "1"), {}, "1 already exists; leave out --version"),
            (("--version", "../../elsewhere"), {}, "expected at most 64 letters, digits, '.', '_' and '-'"),
            (("--out", str(bundle_path / "bundle.json")), {}, "is not a writable folder"),
            ((), {"bundle": image_bundle_path}, "serves toy/1 in float32, which is not"),
            ((), {"precision": "int8"}, "which is not"),
            ((), {"port": 1}, "run `harmgauge serve` in another terminal first"),
        ):
            done = run_here("reference", *options, **{"bundle": bundle_path, "port": service.port, **settings})
            assert done.returncode == 1
            assert message in done.stderr
            assert "Traceback" not in done.stderr
    assert sorted(path.name for path in bundle_path.parent.iterdir()) == ["1"]


def test_a_service_that_is_started_again_is_waited_for(bundle_path: Path) -> None:
    with running_service(bundle_path) as service:
        port = service.port
        wanted = environment(bundle=bundle_path, port=port)
        recording, stderr = start("harmgauge", "reference", "--rows", "500", environment=wanted, fresh=False)
        assert "/500 scores" in stderr.readline(), "it has begun"
        with traffic(service):
            time.sleep(2)
        service.process.kill()
        service.wait()
        time.sleep(1.5)
        with running_service(bundle_path, port=port) as again, traffic(again):
            assert recording.wait(60) == 0, stderr.read()
        stderr.close()
    assert len(load(bundle_path.parent / "2").reference.scores) == 500


def test_two_writers_of_one_version_do_not_mix(bundle_path: Path) -> None:
    bundle = load(bundle_path)
    contents = {name: (bundle_path / name).read_bytes() for name in bundle.manifest.files}
    folder = reserve(bundle_path.parent.parent, "toy", None)
    write_bundle(bundle.manifest, contents, folder, verify)
    with pytest.raises(BundleError, match="could not be written"):
        write_bundle(bundle.manifest, contents, folder, verify)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1", "2"]
    assert not (folder / "2").exists()
    assert load(folder).manifest.version == "2"
