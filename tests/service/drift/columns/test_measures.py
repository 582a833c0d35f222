"""Measures of pictures as columns: what a change of the camera is called, and how few rows that takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.served_input import InputSpec
from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.state import Blocks
from harmgauge_models.calibration.sketches import sketches_of
from tests.support.column_streams import blocks, monitor
from tests.support.textures import Pixels, as_pixels, blurred, textures

SIDE = 16
NAMES = ("brightness", "contrast", "sharpness", "noise", "saturation")


def pictures(seed: int = 0) -> Columns:
    """The monitor of 1,000 pictures and their predicted classes, of which there are two."""
    spec = InputSpec(
        dtype="uint8",
        shape=(SIDE, SIDE, 3),
        minimum=0,
        maximum=255,
        image=ImageSpec(mode="RGB", layout="HWC", scale=1),
    )
    row = RowColumns(spec)
    sketches = sketches_of(textures(1000, SIDE, seed=seed), np.arange(1000) % 2, row, seed=seed)
    return monitor(sketches, row, classes=2, seed=seed)


def observe(columns: Columns, pixels: Pixels) -> None:
    columns.observe_measures(columns.values.measured(pixels), [None] * len(pixels))


def rows_to_a_name(columns: Columns, pixels: Pixels) -> tuple[int | None, str | None]:
    for begin in range(0, len(pixels), 4):
        observe(columns, pixels[begin : begin + 4])
        view = columns.view()
        if view.drifting:
            return begin + 4, view.states()[0].column
    return None, None


@pytest.mark.parametrize(
    ("change", "name", "direction"),
    [
        (lambda pixels: blurred(pixels, 0.8), "sharpness", "lower"),
        (lambda pixels: as_pixels(pixels + np.random.default_rng(1).normal(0, 12, pixels.shape)), "noise", "higher"),
        (lambda pixels: as_pixels(pixels.astype(float) + 45), "brightness", "higher"),
        (lambda pixels: as_pixels(120 + 0.25 * (pixels.astype(float) - 120)), "contrast", "lower"),
        (lambda pixels: np.repeat(pixels[..., :1], 3, axis=-1), "saturation", "lower"),
    ],
)
def test_a_change_of_the_camera_has_its_name_within_100_pictures(
    change: Callable[[Pixels], Pixels], name: str, direction: str
) -> None:
    columns = pictures()
    rows, found = rows_to_a_name(columns, change(textures(200, SIDE, seed=9)))
    assert found == name
    assert rows is not None
    assert rows <= 100
    state = next(each for each in columns.view().states() if each.column == name)
    assert (state.kind, state.direction, state.rows) == ("number", direction, rows)
    assert state.sentence is not None
    assert f"`{name}` {direction} (middle " in state.sentence


def test_clean_pictures_have_no_name() -> None:
    columns = pictures()
    observe(columns, textures(3000, SIDE, seed=5))
    view = columns.view()
    assert not view.drifting
    assert view.names == (*NAMES, "predicted class")
    assert view.rows.tolist() == [3000] * 5 + [0]
    assert view.threshold == 6_000_000


def test_predicted_classes_are_of_all_rows_and_measures_of_the_sample() -> None:
    columns = pictures()
    rows = textures(300, SIDE, seed=2)
    columns.observe(blocks(columns, rows, np.arange(300) % 2))
    observe(columns, rows[:20])
    columns.observe(blocks(columns, rows, np.arange(300) % 2))
    view = columns.view()
    assert view.rows.tolist() == [20] * 5 + [600]
    assert not view.missing.any()
    states = {state.column: state for state in view.states()}
    assert states["brightness"].middle == pytest.approx(columns.values.measured(rows[:20])[:, 0].mean(), rel=0.1)
    assert states["sharpness"].missing is None


def test_a_class_is_still_named_and_described() -> None:
    columns = pictures()
    rows = textures(400, SIDE, seed=3)
    observe(columns, rows[:7])
    columns.observe(blocks(columns, rows, np.zeros(400, np.int64)))
    drifting = [state for state in columns.view().states() if state.state == "drifting"]
    assert [state.column for state in drifting] == ["predicted class"]
    assert drifting[0].sentence is not None
    assert "(50 % -> " in drifting[0].sentence


def test_a_client_counts_once_among_the_sampled_requests_too() -> None:
    columns = pictures()
    rows = textures(50, SIDE, seed=4)
    camera = ("", "camera")
    first = blocks(columns, rows[:1], np.zeros(1, np.int64))
    columns.observe(Blocks(first.scores, first.rows, (camera,), values=first.values))
    columns.observe_measures(columns.values.measured(rows), [camera] * 50)
    assert columns.view().rows.tolist() == [1] * 5 + [1]


def test_saved_and_acknowledged_like_all_columns() -> None:
    columns, other = pictures(1), pictures(1)
    observe(columns, blurred(textures(150, SIDE, seed=6), 1))
    columns.observe(blocks(columns, textures(10, SIDE), np.zeros(10, np.int64)))
    other.restore(columns.dump())
    assert other.view().states() == columns.view().states()
    assert other.view().drifting
    with pytest.raises(ValueError, match="wealth"):
        other.restore({**columns.dump(), "measured_wealth": np.full(3, np.nan)})
    columns.reset()
    view = columns.view()
    assert not view.drifting
    assert not view.rows.any()
    assert not len(view.recent)


def test_levels_beyond_the_reference_are_counted() -> None:
    columns = pictures()
    observe(columns, np.full((7, SIDE, SIDE, 3), 255, np.uint8))
    counts = dict(zip(NAMES, columns.view().out_of_range.tolist(), strict=True))
    assert counts["brightness"] == 7
