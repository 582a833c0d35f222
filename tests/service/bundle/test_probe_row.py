"""The optional row of a bundle with which its graph is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.probe_row import blank_rows, check_probe, probe_rows
from harmgauge.bundle.reference import Reference, read_reference
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import BundleError

SCORES = np.arange(100, dtype=np.float64)
SPEC = InputSpec(dtype="float32", shape=(2, 3), minimum=1, maximum=5)


def test_without_one_rows_hold_the_least_value() -> None:
    np.testing.assert_array_equal(probe_rows(SPEC, Reference(SCORES), 4), np.ones((4, 2, 3), np.float32))
    np.testing.assert_array_equal(blank_rows(InputSpec(dtype="int64", shape=(2,)), 1), np.zeros((1, 2), np.int64))


@pytest.mark.parametrize("features", [None, np.ones((100, 2), np.float32)])
def test_it_is_written_and_read_with_the_reference(features: Any) -> None:
    probe = np.arange(6, dtype=np.float32).reshape(2, 3)
    read = read_reference(Path("reference.npz"), Reference(SCORES, features, probe=probe).npz())
    np.testing.assert_array_equal(probe_rows(SPEC, read, 2), [probe, probe])
    assert probe_rows(SPEC, read, 2).flags.c_contiguous


@pytest.mark.parametrize(
    "probe",
    [
        np.ones((3, 2), np.float32),
        np.ones((2, 3), np.float64),
        np.full((2, 3), 6, np.float32),
        np.zeros((2, 3), np.float32),
        np.full((2, 3), np.nan, np.float32),
        np.full((2, 3), np.inf, np.float32),
    ],
)
def test_a_row_that_no_client_could_send_is_refused(probe: np.ndarray[Any, Any]) -> None:
    with pytest.raises(BundleError, match=r"reference\.npz: 'probe' must"):
        check_probe(Path("reference.npz"), Reference(SCORES, probe=probe), SPEC)


def test_texts_are_refused() -> None:
    with pytest.raises(BundleError, match="'probe' must be numbers"):
        read_reference(Path("reference.npz"), Reference(SCORES, probe=np.array(["a"])).npz())


def test_missing_values_may_be_in_it_if_the_input_takes_them() -> None:
    spec = SPEC.model_copy(update={"missing": True})
    check_probe(Path("reference.npz"), Reference(SCORES, probe=np.full((2, 3), np.nan, np.float32)), spec)
