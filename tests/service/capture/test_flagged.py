"""The captured rows of a request, and their accounted size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.bundle.rows import Rows
from harmgauge.capture.flagged import REQUEST_BYTES, ROW_BYTES, held_bytes
from tests.support.captured_rows import kept_of, rows_of


@st.composite
def requests(draw: st.DrawFn) -> tuple[Rows, npt.NDArray[np.intp]]:
    """A request's rows, with their own memory or part of a larger body, and the positions of the rows kept."""
    rows = rows_of(count := draw(st.integers(1, 200)))
    positions = np.array(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1))))
    around = draw(st.integers(0, 1500)) * 4
    body = bytes(around) + rows.tobytes()
    return np.frombuffer(body, rows.dtype, offset=around).reshape(rows.shape) if around else rows, positions


@settings(deadline=None)
@given(requests())
def test_the_rows_kept_are_those_at_the_positions_and_are_counted_before_they_are_taken(
    request: tuple[Rows, npt.NDArray[np.intp]],
) -> None:
    rows, positions = request
    kept = kept_of(rows, positions)
    np.testing.assert_array_equal(kept.inputs, rows[positions])
    assert kept.scores.tolist() == positions.tolist()
    assert kept.held_bytes == held_bytes(rows, len(positions))
    of_inputs = kept.held_bytes - len(positions) * ROW_BYTES - REQUEST_BYTES
    assert of_inputs <= 2 * rows[positions].nbytes + 1024, "what else is in the body does not stay"


def test_few_rows_are_copied_so_that_the_rest_of_a_request_does_not_stay_in_memory() -> None:
    rows = rows_of(1000)
    kept = kept_of(rows, np.array([3, 5]))
    assert not np.shares_memory(kept.rows, rows)
    assert kept.held_bytes == 2 * (4 * 4 + ROW_BYTES) + REQUEST_BYTES


def test_a_request_that_is_flagged_as_a_whole_is_not_copied() -> None:
    rows = rows_of(1000)
    assert kept_of(rows, np.arange(1000)).inputs is rows
