"""Networks that write their own graph: it computes what the network computes, for any number of rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from harmgauge.bundle.rows import Array
from harmgauge_models.graphs.run import open_session
from harmgauge_models.networks import export
from harmgauge_models.networks.autoencoders import (
    Autoencoder,
    default_autoencoder,
    literature_autoencoder,
    narrow_autoencoder,
)
from harmgauge_models.networks.classifiers import DenseStudent, ResidualBlock, ResNet32, Standardise
from harmgauge_models.networks.export import to_onnx
from harmgauge_models.networks.writer import Unwritable, Writer, writes_itself
from harmgauge_models.training.distil_student import default_student
from tests.support.toy import instances, with_gaps

SMALL, PICTURES = instances(5, (4, 4, 3)), instances(5, (16, 24, 3))
PLANES, TABLE = instances(5, (3, 8, 8), "float32"), instances(5, (6,), "float32")


@pytest.fixture(autouse=True)
def _not_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(network: nn.Module, *_: object) -> onnx.ModelProto:
        raise AssertionError(f"{network} does not write its graph")

    monkeypatch.setattr(export, "_exported", exported)


def student(x: Array) -> nn.Module:
    return default_student(x, 4)


def trained(network: nn.Module, x: Array) -> nn.Module:
    """The network with every parameter and every statistic moved from its initial value."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        network.train()(torch.from_numpy(x))
    return network.eval()


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda _: ResNet32(7, blocks_per_stage=2), instances(5, (32, 32, 3))),
        (student, PICTURES),
        (student, PLANES),
        (student, SMALL),
        (student, TABLE.astype(np.float64)),
        (lambda _: DenseStudent(Standardise(torch.zeros(6), torch.ones(6), missing=True), (6,), 3), with_gaps(TABLE)),
        (default_autoencoder, PICTURES),
        (default_autoencoder, PLANES),
        (default_autoencoder, SMALL),
        (default_autoencoder, TABLE),
        (narrow_autoencoder, PICTURES),
        (literature_autoencoder, PICTURES),
    ],
)
def test_the_graph_computes_what_the_network_computes(
    make: Callable[[Array], nn.Module], x: Array, tmp_path: Path
) -> None:
    network = trained(make(x), x)
    session = open_session(to_onnx(network, torch.from_numpy(x[:2]), tmp_path / "network.onnx", "made").read_bytes())
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("made", ["n", *expected.shape[1:]])
    scale = np.abs(expected).max()
    for rows in (1, 2, 5):
        (found,) = session.run(None, {"input": x[:rows]})
        np.testing.assert_allclose(found / scale, expected[:rows] / scale, atol=2e-6)


class Sharper(DenseStudent):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_what_may_compute_something_else_is_left_to_pytorch(tmp_path: Path) -> None:
    standardise = Standardise(torch.zeros(6), torch.ones(6))
    graph = Writer({"input": torch.from_numpy(TABLE)})
    sharper = Sharper(standardise, (6,), 3)
    assert not writes_itself(sharper)
    assert writes_itself(ResidualBlock(2, 2, 1))
    layers: list[nn.Module] = [
        sharper,
        nn.GELU(),
        nn.Flatten(2),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.Sequential(nn.ReLU(), nn.Dropout()),
    ]
    for layer in layers:
        with pytest.raises(Unwritable):
            graph.layer("input", layer)
    for network in (sharper, Autoencoder(standardise, nn.Linear(6, 3), nn.Sequential(nn.GELU(), nn.Linear(3, 6)))):
        with pytest.raises(AssertionError, match="does not write its graph"):
            to_onnx(network, torch.from_numpy(TABLE), tmp_path / "network.onnx")
