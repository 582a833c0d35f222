"""Bundles that replace each other in this process, and what remains of the replaced ones."""

from __future__ import annotations

import asyncio
import gc
import re
import shutil
import threading
import time
import weakref
from pathlib import Path

import pytest

from harmgauge.bundle.npz import read_npz
from harmgauge.drift.store import Arrays, Store
from harmgauge.errors import BundleRefused, SwapInProgress
from tests.support.bundles import edit
from tests.support.switching import inference_threads, score, service_of
from tests.support.toy import instances, toy_autoencoder_bundle, toy_bundle
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def versions(image_bundle_path: Path, tmp_path: Path) -> list[Path]:
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        shutil.copytree(image_bundle_path, folder)
    edit(folders[1], lambda manifest: manifest.update(version="2"))
    return folders


async def test_of_a_bundle_that_went_nothing_stays(versions: list[Path]) -> None:
    before = inference_threads()
    service = service_of(versions[0])
    gone = []
    for number in range(20):
        parts = service.switch.current.components
        gone += [weakref.ref(part) for part in (parts.runtime, parts.batcher, parts.monitor, parts.bundle)]
        del parts
        await service.switch.replace(versions[(number + 1) % 2])
    await until(lambda: gc.collect() >= 0 and not any(each() for each in gone))
    await until(lambda: len(inference_threads() - before) == 2)
    await service.switch.close()
    await until(lambda: inference_threads() <= before)


async def test_what_the_old_one_answered_counts_as_soon_as_the_new_one_serves(versions: list[Path]) -> None:
    service = service_of(versions[0])
    parts = service.switch.current.components
    rows = instances(3, parts.bundle.manifest.input.shape)
    scored = await parts.scorer.score(rows)
    await service.switch.replace(versions[1])
    text = service.switch.current.components.metrics.exposition({}).decode()
    totals = re.findall(r"^harmgauge_instances_total{.*} (\d+)", text, re.MULTILINE)
    assert sum(map(int, totals)) == len(scored.scores) == 3
    await service.switch.close()


async def test_the_end_waits_for_the_windows_of_a_bundle_that_goes(
    versions: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, write = threading.Event(), Store._write

    def first_slowly(store: Store, arrays: Arrays) -> None:
        if not writing.is_set():
            writing.set()
            time.sleep(0.5)
        write(store, arrays)

    service = service_of(versions[0], state_dir=tmp_path)
    key = service.switch.current.bundle.key
    await score(service, instances(3, service.switch.current.bundle.manifest.input.shape))
    monkeypatch.setattr(Store, "_write", first_slowly)
    await service.switch.replace(versions[1])
    await until(writing.is_set)
    await service.switch.close()
    (file,) = tmp_path.glob(f"drift-{key}*.npz")
    assert len(read_npz(file)["score_ks/scores"]) == 3


async def test_one_at_a_time(versions: list[Path]) -> None:
    service = service_of(versions[0])
    swaps = (service.switch.replace(versions[1]), service.switch.replace(versions[1]))
    first, second = await asyncio.gather(*swaps, return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert (first.before.manifest.version, first.now.manifest.version) == ("1", "2")
    assert isinstance(second, SwapInProgress)
    await service.switch.close()


async def test_a_bundle_that_is_refused_leaves_no_threads(versions: list[Path]) -> None:
    service = service_of(versions[0])
    before = inference_threads()
    (versions[1] / "detector.onnx").unlink()
    with pytest.raises(BundleRefused, match="nothing has changed"):
        await service.switch.replace(versions[1])
    assert inference_threads() <= before
    assert service.switch.current.bundle.manifest.version == "1"
    await service.switch.close()


async def test_one_that_offers_less_cannot_take_over(tmp_path: Path) -> None:
    """Clients that request a correction would suddenly be rejected."""
    with_correction = toy_autoencoder_bundle(tmp_path / "autoencoder")
    without = toy_bundle(tmp_path / "plain")
    edit(without, lambda manifest: manifest.update(version="2"))

    service = service_of(with_correction)
    before = inference_threads()
    with pytest.raises(BundleRefused, match="does not offer corrected"):
        await service.switch.replace(without)
    await until(lambda: inference_threads() <= before)
    await service.switch.close()
    service = service_of(without)
    await service.switch.replace(with_correction)
    assert service.switch.current.components.corrects
    await service.switch.close()


async def test_the_error_probability_comes_and_goes_and_the_log_has_it(
    error_probability_bundle_path: Path, image_bundle_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Older bundles lack it, and a rollback to one of them must be possible."""
    without, having = tmp_path / "without", tmp_path / "having"
    shutil.copytree(image_bundle_path, without)
    shutil.copytree(error_probability_bundle_path, having)
    edit(without, lambda manifest: manifest.update(version="2", error_probability="nobody knows"))
    rows = instances(3, (4, 4, 3))

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    service = service_of(without)
    await service.switch.replace(having)
    assert (await service.switch.current.components.scorer.score(rows)).error_probability is not None
    assert "error_probability" in service.switch.current.components.output_names
    assert warnings() == []
    await service.switch.replace(without)
    assert (await service.switch.current.components.scorer.score(rows)).error_probability is None
    assert "error_probability" not in service.switch.current.components.output_names
    (warning,) = warnings()
    assert re.search(
        r"toy/2 .* has no error probability \(nobody knows\), but toy/1 .* had one: the accuracy estimate .* stop",
        warning,
    )
    await service.switch.close()
