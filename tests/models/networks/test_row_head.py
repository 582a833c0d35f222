"""The head for rows: its inputs, and that its ONNX graph computes the same."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from harmgauge_models.graphs.divergence import Gives
from harmgauge_models.graphs.run import open_session
from harmgauge_models.networks.row_head import RowHead, Scale
from harmgauge_models.networks.writer import written

ROWS, WIDTH, FEATURES, CLASSES = 6, 5, 7, 3
GIVES: tuple[Gives, ...] = ("logits", "probabilities")
READS: list[dict[str, bool]] = [
    {},
    {"features": False},
    {"row": False},
    {"missing": True},
    {"row_values": False},
    {"features": False, "missing": True, "row_values": False},
]
"""An export takes seconds, so these are not all combinations."""


def scale(width: int) -> Scale:
    at = torch.linspace(-1, 1, width)
    return Scale(centre=at, spread=1 + at.abs(), least=at - 2, most=at + 2)


def head(
    *, row: bool = True, features: bool = True, missing: bool = False, row_values: bool = True, gives: Gives = "logits"
) -> RowHead:
    torch.manual_seed(0)
    made = RowHead(
        scale(WIDTH) if row else None,
        scale(FEATURES) if features else None,
        CLASSES,
        gives,
        missing=missing,
        hidden=(16, 8),
        row_values=row_values,
    ).eval()
    torch.nn.init.normal_(made.correction.weight)
    return made


def tensors(network: RowHead, *, gives: Gives = "logits") -> dict[str, Tensor]:
    torch.manual_seed(1)
    found: dict[str, Tensor] = {}
    if network.has_row:
        found["row"] = 10 * torch.randn(ROWS, WIDTH)
        if network.missing:
            found["row"][::2, 1] = torch.nan
    if network.has_features:
        found["features"] = 3 * torch.randn(ROWS, FEATURES)
    said = 4 * torch.randn(ROWS, CLASSES)
    said[0, 0] = 200  # with the highest confidence
    found["said"] = said if gives == "logits" else said.softmax(1)
    return found


def given(network: RowHead, found: dict[str, Tensor]) -> npt.NDArray[Any]:
    session = open_session(written(network, found, (CLASSES,)).SerializeToString())
    logits: npt.NDArray[Any] = session.run(None, {name: tensor.numpy() for name, tensor in found.items()})[0]
    return logits


@pytest.mark.parametrize(("reads", "gives"), list(zip(READS, itertools.cycle(GIVES), strict=False)))
def test_the_graph_gives_what_the_network_gives(reads: dict[str, bool], gives: Gives) -> None:
    network = head(**reads, gives=gives)
    found = tensors(network, gives=gives)
    with torch.no_grad():
        expected = network(*found.values()).numpy()
    assert expected.shape == (ROWS, CLASSES)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(given(network, found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16])
def test_it_reads_rows_of_any_dtype_and_shape(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = RowHead(scale(12), None, CLASSES, "logits", missing=False, hidden=(8, 8)).eval()
    found = {"row": (torch.arange(48).reshape(4, 3, 4) % 11).to(dtype), "said": torch.randn(4, CLASSES)}
    with torch.no_grad():
        expected = network(found["row"].float(), found["said"]).numpy()
    np.testing.assert_allclose(given(network, found), expected, rtol=1e-3, atol=1e-3)


def test_it_starts_from_what_the_classifier_says() -> None:
    """Before training: a positive factor for all classes of a row, and nothing else."""
    torch.manual_seed(0)
    network = RowHead(scale(WIDTH), None, CLASSES, "logits", missing=False, hidden=(16, 8))
    found = tensors(network)
    log_p = found["said"].log_softmax(1).clamp(min=-16)
    with torch.no_grad():
        factor = network(*found.values()) / log_p
    usual = log_p < -1e-6
    assert (factor[usual] > 0).all()
    for row, which in zip(factor, usual, strict=True):
        torch.testing.assert_close(row[which], row[which][:1].expand_as(row[which]))


def test_logits_and_probabilities_say_the_same() -> None:
    found = tensors(head())
    with torch.no_grad():
        of_logits = head()(*found.values())
        of_probabilities = head(gives="probabilities")(found["row"], found["features"], found["said"].softmax(1))
    torch.testing.assert_close(of_probabilities[1:], of_logits[1:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("row_values", [True, False])
def test_a_row_far_off_is_told_apart_by_how_far(row_values: bool) -> None:
    """The classifier returns the same answer for all of them, with the highest confidence."""
    network = head(features=False, row_values=row_values)
    rows = torch.tensor([0.0, 1.9, 5.0, 50.0, 5e3, 5e6, 5e12])[:, None] * torch.ones(WIDTH)
    said = torch.tensor([[90.0, 0, 0]]).expand(len(rows), -1)
    with torch.no_grad():
        log_q = network(rows, said).log_softmax(1)
    assert (log_q.diff(dim=0).abs().amax(1) > 1e-3).all()


def test_the_values_of_a_row_are_seen_only_if_they_are_wanted() -> None:
    """Without its values, two rows that are equally unusual look the same."""
    swapped = [1, 0, 2, 3, 4]
    flat = Scale(torch.zeros(WIDTH), torch.ones(WIDTH), -torch.ones(WIDTH), torch.ones(WIDTH))
    rows = torch.tensor([[0.5, 3.0, -0.2, 0.0, 7.0]])
    said = torch.randn(1, CLASSES)
    for row_values in (True, False):
        torch.manual_seed(0)
        network = RowHead(flat, None, CLASSES, "logits", missing=False, hidden=(16, 8), row_values=row_values)
        with torch.no_grad():
            same = torch.allclose(network(rows, said), network(rows[:, swapped], said), atol=1e-6)
        assert same != row_values


def test_a_missing_value_is_seen_and_is_no_number() -> None:
    network = head(features=False, missing=True)
    centre = scale(WIDTH).centre
    rows = torch.stack([centre, centre])
    rows[1, 2] = torch.nan
    with torch.no_grad():
        there, gone = network(rows, torch.zeros(2, CLASSES))
    assert torch.isfinite(gone).all()
    assert (there - gone).abs().max() > 1e-4


def test_the_largest_numbers_have_a_finite_score() -> None:
    network = head()
    found = tensors(network)
    found["row"][0], found["row"][1] = 3.4e38, -3.4e38
    found["features"][2] = torch.inf
    with torch.no_grad():
        expected = network(*found.values()).numpy()
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(given(network, found), expected, rtol=1e-4, atol=1e-3)
