"""Batches padded to a few sizes: for a GPU, but tested on a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from harmgauge.bundle.load import Bundle, load
from harmgauge.errors import SettingsError
from harmgauge.inference import providers, runtime
from harmgauge.inference.padded_batches import FixedSizes, batch_sizes
from harmgauge.inference.runtime import OnnxRuntime
from tests.support.toy import instances, toy_autoencoder_bundle

SHAPE = (4, 4, 3)


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(1, (1,)), (5, (1, 5)), (8, (1, 8)), (32, (1, 8, 16, 32)), (100, (1, 8, 16, 32, 64, 100))],
)
def test_sizes(most: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(most) == sizes


@pytest.fixture
def fixed(image_bundle: Bundle) -> FixedSizes:
    session = ort.InferenceSession(image_bundle.graph, providers=["CPUExecutionProvider"])
    outputs = {"score": (), "probabilities": (3,), "features": (48,)}
    return FixedSizes(dict.fromkeys(batch_sizes(32), session), image_bundle.manifest.input, outputs, "cpu")


def test_padding_changes_no_score(fixed: FixedSizes, image_bundle: Bundle) -> None:
    plain = OnnxRuntime(image_bundle, "cpu")
    kept = []
    for count in (*range(1, 33), 3, 1):
        rows = instances(count, SHAPE, seed=count)
        outputs, expected = fixed.run(rows), plain.run(rows)
        np.testing.assert_allclose(outputs.score, expected.score, atol=1e-5)
        np.testing.assert_allclose(outputs.probabilities, expected.probabilities, atol=1e-5)
        assert outputs.probabilities.shape == (count, 3)
        np.testing.assert_array_equal(outputs.features, rows.reshape(count, 48))  # of a linear network: its input
        kept.append((outputs, expected))
    for outputs, expected in kept:
        np.testing.assert_allclose(outputs.score, expected.score, atol=1e-5, err_msg="a later run wrote into it")


class Recorded(ort.InferenceSession):  # type: ignore[misc]  # ONNX Runtime has no types
    """A session on the CPU, opened as if on CUDA, that records the batch sizes of its runs."""

    def __init__(self, graph: bytes, options: object = None, providers: object = None) -> None:
        super().__init__(graph, options, providers=["CPUExecutionProvider"])
        self.sizes: list[int] = []

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def run_with_iobinding(self, binding: Any, run_options: object = None) -> None:
        super().run_with_iobinding(binding, run_options)
        self.sizes.append(next(iter(binding.get_outputs())).shape()[0])


def test_on_cuda_each_size_has_its_own_session(image_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that sees another size plans its convolutions again, which takes longer than hundreds of runs."""
    opened: list[Recorded] = []

    def open_session(*arguments: Any, **options: Any) -> Recorded:
        opened.append(Recorded(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(ort, "InferenceSession", open_session)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(
        runtime, "FixedSizes", lambda sessions, spec, shapes, _: FixedSizes(sessions, spec, shapes, "cpu")
    )
    found = OnnxRuntime(image_bundle, "cuda", 32)
    for count in (1, 9, 32, 2, 1, 17):
        found.run(instances(count, SHAPE))
    assert [set(session.sizes) for session in opened] == [{1}, {8}, {16}, {32}]


def test_threads_do_not_share_buffers(fixed: FixedSizes, image_bundle: Bundle) -> None:
    rows = instances(300, SHAPE)
    whole = OnnxRuntime(image_bundle, "cpu").run(rows)
    pieces = [rows[start : start + 1 + start % 9] for start in range(290)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fixed.run, pieces))
    for start, outputs in enumerate(found):
        np.testing.assert_allclose(outputs.score, whole.score[start : start + len(outputs.score)], atol=1e-5)


def test_read_only_rows_are_taken(fixed: FixedSizes) -> None:
    for count in (3, 8):
        rows = np.frombuffer(instances(count, SHAPE).tobytes(), np.uint8).reshape(count, *SHAPE)
        assert fixed.run(rows).score.shape == (count,)


def test_a_silent_fall_back_is_refused() -> None:
    for wanted in ("cuda", "tensorrt"):
        with pytest.raises(SettingsError, match=f"HARMGAUGE_PROVIDERS={wanted}, but ONNX Runtime could not use it"):
            providers.check_in_use(wanted, ["CPUExecutionProvider"])
    providers.check_in_use("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    providers.check_in_use("auto", ["CPUExecutionProvider"])


def test_what_is_asked_of_a_runtime_that_has_a_gpu(image_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    sizes = batch_sizes(64)
    assert providers.wanted("cpu", image_bundle, sizes) == ["CPUExecutionProvider"]
    for name in ("auto", "cuda"):
        cuda, *others = providers.wanted(name, image_bundle, sizes)
        assert cuda[0] == "CUDAExecutionProvider"
        assert cuda[1]["use_tf32"] == "0"  # it would change scores
        assert others == ["CPUExecutionProvider"]
    tensorrt, *others = providers.wanted("tensorrt", image_bundle, sizes)
    assert others == [cuda, "CPUExecutionProvider"]
    assert tensorrt[0] == "TensorrtExecutionProvider"
    assert tensorrt[1]["trt_profile_min_shapes"] == "input:1x4x4x3"
    assert tensorrt[1]["trt_profile_max_shapes"] == "input:64x4x4x3"


def test_the_error_probability_goes_through_the_buffers_too(error_probability_bundle_path: Path) -> None:
    bundle = load(error_probability_bundle_path)
    session = ort.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    plain = OnnxRuntime(bundle, "cpu")
    fixed = FixedSizes(dict.fromkeys(batch_sizes(32), session), bundle.manifest.input, plain.shapes, "cpu")
    for count in (1, 5, 32, 11):
        rows = instances(count, SHAPE, seed=count)
        found, expected = fixed.run(rows).error_probability, plain.run(rows).error_probability
        assert found is not None
        assert expected is not None
        assert found.shape == (count,)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_correction_goes_through_the_buffers_too(tmp_path: Path) -> None:
    bundle = load(toy_autoencoder_bundle(tmp_path))
    session = ort.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    plain = OnnxRuntime(bundle, "cpu")
    fixed = FixedSizes(dict.fromkeys(batch_sizes(32), session), bundle.manifest.input, plain.shapes, "cpu")
    rows = instances(11, SHAPE)
    found, expected = fixed.run(rows).corrected_probabilities, plain.run(rows)
    assert found is not None
    assert expected.corrected_probabilities is not None
    np.testing.assert_allclose(found, expected.corrected_probabilities, atol=1e-5)
