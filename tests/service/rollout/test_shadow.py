"""A shadow in this process: loaded, compared, promoted, dropped, and what remains of it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from harmgauge.app import Service
from harmgauge.bundle.load import load as load_bundle
from harmgauge.bundle.rows import Rows
from harmgauge.errors import BundleRefused, NonFiniteScore, NoShadow, ShadowFails, SwapInProgress
from harmgauge.inference.outputs import Outputs
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.bundles import edit
from tests.support.seen import alike, seen
from tests.support.switching import inference_threads, run, score, service_of, version
from tests.support.toy import instances, linear_network, toy_autoencoder_bundle, toy_bundle
from tests.support.waiting import until

SHAPE = (5,)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three versions of one model of vectors. For numbers beyond 1e30, version 2 overflows, the others do not."""
    folder = tmp_path_factory.mktemp("shadows")
    made = []
    for number, scale in enumerate((1e-2, 1e9, 1e-2), 1):
        networks = [
            linear_network(folder / f"{number}{seed}.onnx", SHAPE, 3, 10 * number + seed, dtype="float32", scale=scale)
            for seed in (1, 2)
        ]
        # In version 2 most rows have the largest score: a higher percentile would be rejected.
        pair = (networks[0], networks[1])
        made.append(toy_bundle(folder, shape=SHAPE, dtype="float32", networks=pair, percentile=20))
    assert [bundle.name for bundle in made] == ["1", "2", "3"]
    return made


def test_it_sees_what_is_answered_and_goes_on_where_it_is_when_promoted(bundles: list[Path]) -> None:
    rows = instances(60, SHAPE, "float32", seed=3)
    expected = OnnxRuntime(load_bundle(bundles[1]), "cpu").run(rows).score

    async def test(service: Service) -> None:
        served = await score(service, rows)
        await service.switch.load_shadow(bundles[1])
        for row in rows:
            await score(service, row[None])
        await seen(service, 60)
        shadow = service.switch.shadow
        assert alike(shadow.comparison.recent(), np.stack([served, expected], 1))
        swap = service.switch.promote()
        assert (swap.before.manifest.version, swap.now.manifest.version, version(service)) == ("1", "2", "2")
        state = (await service.switch.current.components.monitor.states())["score_ks"]
        assert state.scores is not None
        assert alike(np.array(state.scores)[:, None], expected[:, None])
        await score(service, rows)
        state = (await service.switch.current.components.monitor.states())["score_ks"]
        assert state.total_rows == 120, "the window is kept"
        text = service.switch.current.components.metrics.exposition({}).decode()
        count = next(line for line in text.splitlines() if line.startswith("harmgauge_score_count"))
        assert count.endswith(" 60.0"), "of the scores that were answers"
        assert await service.switch.shadow_exposition() == b""
        with pytest.raises(NoShadow):
            service.switch.promote()

    run(test, bundles[0])


def test_a_shadow_that_fails_is_not_promoted(bundles: list[Path]) -> None:
    async def test(service: Service) -> None:
        good, bad = instances(3, SHAPE, "float32"), np.full((2, 5), 1e35, np.float32)
        await service.switch.load_shadow(bundles[1])
        await score(service, good)
        await seen(service, 3)
        assert np.isfinite(await score(service, bad)).all(), "the answer does not suffer"
        await until(lambda: service.switch.shadow.comparison.failed_rows[NonFiniteScore.code] == 2)
        with pytest.raises(ShadowFails, match="toy/2"):
            service.switch.promote()
        with pytest.raises(BundleRefused, match="not fit to serve"):
            await service.switch.replace(bundles[1])
        assert version(service) == "1"
        await score(service, good)
        await seen(service, 6)
        service.switch.promote()
        assert version(service) == "2"

    run(test, bundles[0])


def test_a_shadow_that_hangs_is_not_promoted_until_it_does_no_more(
    bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    async def test(service: Service) -> None:
        shadow = await service.switch.load_shadow(bundles[1])
        runtime = shadow.serving.components.runtime
        run_at_once = runtime.run

        def run_late(rows: Rows) -> Outputs:
            assert gate.wait(20)
            return run_at_once(rows)

        monkeypatch.setattr(runtime, "run", run_late)
        await score(service, instances(3, SHAPE, "float32"))
        assert shadow.failure is None, "it may only be slow"
        await until(lambda: shadow.failure is not None)
        with pytest.raises(ShadowFails, match=r"scoring the same rows for [1-9]\d* s"):
            service.switch.promote()
        gate.set()
        await seen(service, 3)
        assert shadow.failure is None
        assert service.switch.promote().now.manifest.version == "2"

    run(test, bundles[0], inference_timeout_seconds=1)


def test_one_change_at_a_time(bundles: list[Path]) -> None:
    async def test(service: Service) -> None:
        switch = service.switch
        await switch.load_shadow(bundles[1])
        swap = asyncio.create_task(switch.replace(bundles[2]))
        await asyncio.sleep(0)
        for refused in (switch.load_shadow(bundles[2]), switch.drop_shadow(), switch.replace(bundles[2])):
            with pytest.raises(SwapInProgress):
                await refused
        with pytest.raises(SwapInProgress):
            switch.promote()
        await swap
        loading = asyncio.create_task(switch.load_shadow(bundles[0]))
        await asyncio.sleep(0)
        with pytest.raises(SwapInProgress):
            await switch.replace(bundles[0])
        await loading
        assert (version(service), switch.shadow.serving.bundle.manifest.version) == ("3", "1")

    run(test, bundles[0])


def test_a_swap_leaves_the_shadow_which_is_compared_with_the_new_bundle(bundles: list[Path]) -> None:
    async def test(service: Service) -> None:
        rows = instances(4, SHAPE, "float32")
        await service.switch.load_shadow(bundles[1])
        await score(service, rows)
        await seen(service, 4)
        await service.switch.replace(bundles[2])
        shadow = service.switch.shadow
        assert shadow.served is service.switch.current
        assert int(shadow.comparison.rows.sum()) == 0
        third = await score(service, rows[:3])
        await seen(service, 3)
        assert np.allclose(shadow.comparison.recent()[:, 0], third)
        assert (await shadow.states())["score_ks"].total_rows == 7, "its window is kept"

    run(test, bundles[0])


def test_a_swap_to_the_shadows_bundle_promotes_it(bundles: list[Path]) -> None:
    async def test(service: Service) -> None:
        await service.switch.load_shadow(bundles[1])
        serving = service.switch.shadow.serving
        await service.switch.replace(bundles[1])
        assert service.switch.current is serving
        with pytest.raises(NoShadow):
            _ = service.switch.shadow

    run(test, bundles[0])


def test_what_cannot_take_over_cannot_be_a_shadow(bundles: list[Path], tmp_path: Path) -> None:
    other = toy_bundle(tmp_path, shape=(6,), dtype="float32")

    async def test(service: Service) -> None:
        threads = inference_threads()
        refused = (bundles[0], "which is in service"), (other, "input shape is"), (tmp_path / "no", "is not a bundle")
        for folder, why in refused:
            with pytest.raises(BundleRefused, match=why):
                await service.switch.load_shadow(folder)
        assert inference_threads() <= threads
        shadow = await service.switch.load_shadow(bundles[1])
        assert await service.switch.load_shadow(bundles[1]) is shadow
        await service.switch.load_shadow(bundles[2])
        assert service.switch.shadow.serving.bundle.manifest.version == "3"

    run(test, bundles[0])


def test_one_that_offers_less_than_what_serves_by_now_is_not_promoted(tmp_path: Path) -> None:
    with_correction = toy_autoencoder_bundle(tmp_path / "autoencoder")
    plain = [toy_bundle(tmp_path / "plain"), toy_bundle(tmp_path / "plain", percentile=50.0)]
    for number, folder in enumerate(plain, 2):
        edit(folder, lambda manifest, number=number: manifest.update(version=str(number)))  # type: ignore[misc]  # a lambda's default has no type

    async def test(service: Service) -> None:
        await service.switch.load_shadow(plain[1])
        await service.switch.replace(with_correction)
        with pytest.raises(BundleRefused, match="does not offer corrected"):
            service.switch.promote()
        with pytest.raises(BundleRefused, match="does not offer corrected"):
            await service.switch.replace(plain[1])
        assert service.switch.shadow.served is service.switch.current

    run(test, plain[0])


@pytest.mark.anyio
async def test_of_a_shadow_that_went_nothing_stays(bundles: list[Path]) -> None:
    before = inference_threads()
    service = service_of(bundles[0])
    gone: list[weakref.ref[object]] = []
    for number in range(12):
        await service.switch.load_shadow(bundles[1 + number % 2])
        await score(service, instances(3, SHAPE, "float32"))
        shadow = service.switch.shadow
        gone += [
            weakref.ref(part) for part in (shadow, shadow.serving.components.runtime, shadow.serving.components.monitor)
        ]
        del shadow
        if number % 3 == 0:
            await service.switch.drop_shadow()
    await service.switch.drop_shadow()
    assert len(service.switch.current.components.scorer.listeners) == 1, "the windows alone"
    await until(lambda: gc.collect() >= 0 and not any(each() for each in gone))
    await until(lambda: len(inference_threads() - before) == 2)
    await service.switch.close()
    await until(lambda: inference_threads() <= before)


def test_the_setting_has_one_from_the_start_and_a_bad_one_stops_nothing(
    bundles: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(service: Service) -> None:
        await until(lambda: service.switch._shadow is not None)
        assert service.switch.shadow.serving.bundle.manifest.version == "2"

    run(test, bundles[0], shadow=bundles[1])

    async def refused(service: Service) -> None:
        await until(lambda: "was refused" in caplog.text)
        assert len(await score(service, instances(3, SHAPE, "float32"))) == 3

    run(refused, bundles[0], shadow=tmp_path / "nowhere")


def test_drift_state_is_kept_by_bundle(bundles: list[Path], tmp_path: Path) -> None:
    rows = instances(30, SHAPE, "float32")

    async def dropped(service: Service) -> None:
        await service.switch.load_shadow(bundles[1])
        await score(service, rows)
        await seen(service, 30)
        await service.switch.drop_shadow()
        await service.switch.load_shadow(bundles[1])
        assert (await service.switch.shadow.states())["score_ks"].total_rows == 30
        await score(service, rows[:5])
        await seen(service, 5)

    async def again(service: Service) -> None:
        await service.switch.load_shadow(bundles[1])
        assert (await service.switch.shadow.states())["score_ks"].total_rows == 35, "close saves it"
        assert (await service.switch.current.components.monitor.states())["score_ks"].total_rows == 35

    run(dropped, bundles[0], state_dir=tmp_path)
    run(again, bundles[0], state_dir=tmp_path)
