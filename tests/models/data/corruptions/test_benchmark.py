"""The whole benchmark: independent of the number of processes, and made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmgauge_models.data.corruptions import CORRUPTIONS, benchmark
from tests.support.toy import instances


def test_it_is_made_once_for_the_same_images_and_does_not_depend_on_the_processes(tmp_path: Path) -> None:
    images = instances(3, (16, 16, 3))
    first = benchmark.make(images, tmp_path / "one", processes=1)
    assert list(first) == list(CORRUPTIONS)
    assert {array.shape for array in first.values()} == {(5, 3, 16, 16, 3)}
    second = benchmark.make(images, tmp_path / "two", processes=2)
    for name, made in first.items():
        np.testing.assert_array_equal(made, second[name])

    file = tmp_path / "one" / "snow.npy"
    written = file.stat().st_mtime_ns
    benchmark.make(images, tmp_path / "one", processes=1)
    assert file.stat().st_mtime_ns == written
    other = benchmark.make(images[::-1].copy(), tmp_path / "one", processes=1)
    assert file.stat().st_mtime_ns != written
    np.testing.assert_array_equal(other["brightness"][:, ::-1], second["brightness"])
