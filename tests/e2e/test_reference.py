"""`harmgauge reference`: what the service scores becomes the reference of a new bundle, and only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from service.inference.bundle import load
from tests.models.test_int8 import two_layers
from tests.process import RunningService, run, running_service
from tests.toy import instances, toy_bundle

SHAPE = (4, 4, 3)


@contextmanager
def traffic(service: RunningService) -> Iterator[list[float]]:
    """Dark images, ten at a time, until the end; yields the scores that were answered."""
    answered: list[float] = []
    ended = threading.Event()

    def send() -> None:
        seed = 0
        while not ended.is_set():
            answered.extend(service.score(instances(10, SHAPE, seed=seed) // 3)["scores"])
            seed += 1
            ended.wait(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield answered
    finally:
        ended.set()
        sender.join()


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    networks = two_layers(tmp_path / "first.onnx", 1), two_layers(tmp_path / "other.onnx", 2)
    return toy_bundle(tmp_path / "bundles", int8=True, networks=networks)


def test_new_version_with_its_provenance(bundle_path: Path) -> None:
    before = {file: file.read_bytes() for file in bundle_path.rglob("*") if file.is_file()}
    old = load(bundle_path)
    with running_service(bundle_path) as service, traffic(service) as answered:
        done = run("reference", "--rows", "300", bundle=bundle_path, port=service.port)
        assert done.returncode == 0, done.stderr
    assert "next: HARMGAUGE_BUNDLE=" in done.stdout
    assert "300 scores against the old reference: D = " in done.stdout
    assert {file: file.read_bytes() for file in bundle_path.rglob("*") if file.is_file()} == before

    new = load(bundle_path.parent / "2")
    assert len(new.reference.scores) == 300
    assert set(new.reference.scores) <= set(answered)
    assert new.threshold == old.threshold
    assert new.reference.features is not None
    assert old.reference.features is not None
    assert new.reference.features.mean() == pytest.approx(old.reference.features.mean() / 3, rel=0.2)
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


def test_new_threshold_and_eight_bits(bundle_path: Path, tmp_path: Path) -> None:
    with running_service(bundle_path, precision="int8") as service, traffic(service):
        done = run(
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
            (("--rows", "50"), {}, "a reference has at least 100 scores"),
            (("--version", "1"), {}, "1 exists; leave out --version"),
            ((), {"bundle": image_bundle_path}, "serves toy/1 in float32, which is not"),
            ((), {"precision": "int8"}, "which is not"),
            ((), {"port": 1}, "run `make serve` in another terminal first"),
        ):
            done = run("reference", *options, **{"bundle": bundle_path, "port": service.port, **settings})
            assert done.returncode == 1
            assert message in done.stderr
            assert "Traceback" not in done.stderr
    assert sorted(path.name for path in bundle_path.parent.iterdir()) == ["1"]
