"""A new bundle is tried in a separate process: whatever its graph does, the calling process gets a reason."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, helper

from harmgauge.bundle.load import DETECTOR_FILE, MANIFEST_FILE, REFERENCE_FILE
from harmgauge.bundle.load import load as load_bundle
from harmgauge.bundle.signature import new_key
from harmgauge.cli.sign import sign_bundle
from harmgauge.errors import BundleError
from harmgauge.inference import isolated_probe
from harmgauge.inference.isolated_probe import BundleLoader
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.settings import DEFAULT_BUNDLE_SHA256, Settings, load, shipped_bundle
from tests.support.bundles import edit, replace_file
from tests.support.hostile_graphs import base_bundle, graph, hostile_bundle


@pytest.fixture(autouse=True)
def _nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a service that starts."""
    monkeypatch.setattr(isolated_probe, "TRIED", {DEFAULT_BUNDLE_SHA256})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_bundle(tmp_path_factory.mktemp("base"))


def loader(**given: str) -> BundleLoader:
    return BundleLoader(load({f"HARMGAUGE_{name.upper()}": value for name, value in given.items()}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("group 0", "cannot be served: ConvTranspose .*group"),
        ("least integer by -1", r"running its graph on 1 rows crashed \(SIGFPE\): export the graph again"),
        ("much at one row", r"one row takes \d+ MiB of memory; expected at most 64 MiB"),
        ("more than there is at one row", r"the graph fails on 1 rows \(.*lower HARMGAUGE_MAX_BATCH_ROWS"),
        ("more than there is at 32 rows", r"the graph fails on 32 rows \(.*lower HARMGAUGE_MAX_BATCH_ROWS"),
    ],
)
def test_a_graph_that_harms_is_refused_with_its_reason(base: Path, tmp_path: Path, name: str, message: str) -> None:
    folder = hostile_bundle(base, tmp_path / "hostile", name)
    with pytest.raises(BundleError, match=message) as refused:
        loader().load(folder)
    assert str(folder) in str(refused.value)


def test_a_row_that_the_bundle_brings_hides_nothing(base: Path, tmp_path: Path) -> None:
    """The graph is harmless only on that row: rows of zeros are tried as well."""
    folder = hostile_bundle(base, tmp_path / "hostile", "much at a row of zeros")
    reference = load_bundle(base).reference
    replace_file(folder, REFERENCE_FILE, replace(reference, probe=np.ones(3, np.float32)).npz())
    assert np.asarray(OnnxRuntime(load_bundle(folder), "cpu").probe(2)).tolist() == [[1, 1, 1]] * 2
    with pytest.raises(BundleError, match=r"one row takes \d+ MiB of memory"):
        loader().load(folder)


def test_a_graph_that_makes_nothing_of_zeros_is_served_with_a_row_of_its_own(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "bundle")
    made = graph(helper.make_node("Gather", ["input", "zero"], ["first_0"], axis=1), *nothing_of_zeros())
    replace_file(tmp_path / "bundle", DETECTOR_FILE, made.SerializeToString())
    with pytest.raises(BundleError, match="the score of the trial row is (nan|-?inf)"):
        loader().load(tmp_path / "bundle")
    reference = replace(load_bundle(base).reference, probe=np.ones(3, np.float32))
    replace_file(tmp_path / "bundle", REFERENCE_FILE, reference.npz())
    assert loader().load(tmp_path / "bundle").reference.probe is not None


def nothing_of_zeros() -> tuple[NodeProto, NodeProto]:
    return helper.make_node("Log", ["first_0"], ["log"]), helper.make_node("ReduceSum", ["log"], ["extra"], keepdims=0)


def test_a_graph_that_computes_for_ever_is_ended(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hostile_bundle(base, tmp_path / "hostile", "endless loop")
    assert (isolated_probe.CPU_SECONDS, isolated_probe.WALL_SECONDS) == (20, 30)
    monkeypatch.setattr(isolated_probe, "CPU_SECONDS", 2)
    with pytest.raises(BundleError, match="running its graph on 1 rows took more than (2 s of CPU|30 s)"):
        loader().load(folder)


def test_many_rows_of_a_slow_network_are_refused_with_another_remedy(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row is quick, but the time of a batch grows with its rows."""
    folder = hostile_bundle(base, tmp_path / "hostile", "slow at many rows")
    monkeypatch.setattr(isolated_probe, "CPU_SECONDS", 2)
    with pytest.raises(
        BundleError, match="running its graph on 32 rows took more than 2 s of CPU: lower HARMGAUGE_MAX_BATCH_ROWS; "
    ):
        loader().load(folder)


def test_a_process_that_only_waits_is_ended(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_probe, "WALL_SECONDS", 0.01)
    with pytest.raises(BundleError, match=r"process took more than 0.01 s"):
        loader().load(base)


def test_a_container_that_is_nearly_full_refuses_before_it_overflows(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_probe, "free_in_cgroup_bytes", lambda: 0)
    monkeypatch.setattr(isolated_probe, "_OWN_BYTES", 16 * 2**20)
    with pytest.raises(BundleError, match=r"starting the trial process .*MemoryError|memory|status"):
        loader().load(base)


def test_a_good_bundle_is_tried_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles, folder = loader(), Path(shutil.copytree(base, tmp_path / "copy"))
    assert bundles.load(folder).sha256 == hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert bundles.load(folder).manifest.name == "toy"
    edit(folder, lambda manifest: manifest["made"].update(changed=True))
    with pytest.raises(BundleError, match="no process could be started to try .*: allow the service one more"):
        bundles.load(folder)


def test_the_shipped_bundle_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the default bundle was rebuilt: write the sha256 of its `bundle.json` into `settings.py`."""
    assert hashlib.sha256((shipped_bundle() / MANIFEST_FILE).read_bytes()).hexdigest() == DEFAULT_BUNDLE_SHA256
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert BundleLoader(Settings()).load(shipped_bundle()).sha256 == DEFAULT_BUNDLE_SHA256


def test_a_signed_bundle_is_not_tried(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "copy"))
    public_key = new_key(tmp_path / "key")
    bundles = loader(bundle_public_key=public_key)
    with pytest.raises(BundleError, match="is not signed"):
        bundles.load(folder)
    sign_bundle(folder, tmp_path / "key")
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert bundles.load(folder).signature == "verified"


def test_what_changes_between_trial_and_load_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "copy"))
    probe = BundleLoader._probe

    def probe_and_change(self: BundleLoader, tried: Path) -> str:
        found = probe(self, tried)
        edit(tried, lambda manifest: manifest["made"].update(changed=True))
        return found

    monkeypatch.setattr(BundleLoader, "_probe", probe_and_change)
    with pytest.raises(BundleError, match="changed while it was being loaded: load it again"):
        loader().load(folder)


def test_the_process_knows_no_keys(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs untrusted code, and the environment may hold secrets."""
    seen = tmp_path / "seen"
    spy = tmp_path / "python"
    spy.write_text(f'#!/bin/sh\nenv > {seen}\nexec {sys.executable} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("HARMGAUGE_CLIENT_KEY", "hg_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(sys, "executable", str(spy))
    loader().load(base)
    assert "secret" not in seen.read_text()


def test_no_process_is_left(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the service is killed while it tries a bundle."""
    folder = hostile_bundle(base, tmp_path / "hostile", "endless loop")
    code = f"from harmgauge.inference.isolated_probe import *; BundleLoader(Settings()).load(Path({str(folder)!r}))"
    asking = subprocess.Popen([sys.executable, "-c", code])

    def processes() -> list[str]:
        found = []
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes()
            except OSError:
                continue
            if b"probe_process" in words and os.fsencode(folder) in words:
                found.append(status.parent.name)
        return found

    deadline = time.monotonic() + 20
    while not processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes()
    time.sleep(1)  # by then it has asked the system to kill it together with the calling process
    asking.kill()
    asking.wait()
    while processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not processes()


def test_the_harmless_graph_of_these_tests_passes(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "copy"))
    replace_file(folder, "detector.onnx", graph().SerializeToString())
    assert loader().load(folder).manifest.version == "1"
