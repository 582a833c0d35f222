"""Pictures to pixels and back, in every layout and range that an input may have."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge.bundle.part import Dtype
from harmgauge_models.data.pictures import Layout, input_spec, pictures
from tests.support.toy import instances


@pytest.mark.parametrize(("shape", "layout"), [((8, 6, 3), "HWC"), ((1, 8, 6), "CHW")])
@pytest.mark.parametrize(("dtype", "scale"), [("uint8", 1), ("float32", 1 / 255), ("float32", 1), ("float64", 1 / 50)])
def test_there_and_back(shape: tuple[int, ...], layout: Layout, dtype: Dtype, scale: float) -> None:
    x = (instances(20, shape) * scale).astype(dtype)
    converter = pictures(x, input_spec(x, dtype), layout)
    pixels = converter.to_pixels(x)
    assert pixels.shape == (20, 8, 6, shape[2] if layout == "HWC" else 1)
    assert pixels.dtype == np.float32
    assert pixels.min() == pytest.approx(0, abs=0.02)
    assert pixels.max() == pytest.approx(1, abs=0.02)
    back = converter.from_pixels(pixels)
    assert back.dtype == x.dtype
    assert back.flags.c_contiguous
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_standardised_pictures_have_the_range_of_the_normal_ones() -> None:
    x = np.random.default_rng(0).normal(size=(50, 8, 8, 3)).astype(np.float32)
    converter = pictures(x, input_spec(x, "float32"), "HWC")
    assert (converter.low, converter.high) == (x.min(), x.max())
    flat = np.ones((2, 8, 8, 3), np.float32)
    assert np.isfinite(pictures(flat, input_spec(flat, "float32"), "HWC").to_pixels(flat)).all()
