"""ONNX networks as PyTorch modules: the same outputs, gradients, and an error that names the operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict
from harmgauge_models.graphs.to_torch import to_torch
from harmgauge_models.networks.classifiers import ResNet32
from harmgauge_models.networks.export import to_onnx
from tests.support.toy import instances, linear_network


def test_our_own_export_comes_back_with_its_gradients(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet32(blocks_per_stage=1).eval()
    x = instances(6, (32, 32, 3))
    path = to_onnx(network, torch.from_numpy(x[:2]), tmp_path / "resnet.onnx")
    converted = to_torch(onnx.load(path), x, "the classifier")
    real = torch.from_numpy(x).float().requires_grad_()
    np.testing.assert_allclose(converted(real)[0].detach(), predict(path, x, "resnet"), atol=1e-4)
    due = torch.autograd.grad(network(real)[:, 3].sum(), real)[0]
    found = torch.autograd.grad(converted(real)[0][:, 3].sum(), real)[0]
    torch.testing.assert_close(found, due, atol=1e-6, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in converted.parameters())
    assert not any(module.training for module in converted.train().modules() if module is not converted)


def test_any_number_of_rows_goes_through(tmp_path: Path) -> None:
    path = linear_network(tmp_path / "linear.onnx", (4, 4, 3), 3, 1, softmax=True, scale=0.03)
    x = instances(40, (4, 4, 3))
    converted = to_torch(onnx.load(path), x, "the classifier")
    for rows in (1, 7, 40):
        found = converted(torch.from_numpy(x[:rows]))[0]
        np.testing.assert_allclose(found, predict(path, x[:rows], "linear"), atol=1e-5)


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    model = onnx.load(linear_network(tmp_path / "linear.onnx", (5,), 3, 1, dtype="float32"))
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Frobnicate", ["before"], ["y"], domain="of.its.own"))
    model.opset_import.append(helper.make_opsetid("of.its.own", 1))
    with pytest.raises(UserError, match=r"the classifier cannot be converted .*op_type=Frobnicate.*--autoencoder-onnx"):
        to_torch(model, instances(4, (5,), "float32"), "the classifier")


def test_a_conversion_that_gives_other_outputs_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a defect of the converter: here it converts a network with other weights."""
    from harmgauge_models.graphs import to_torch as module

    convert = module._converter()
    other = onnx.load(linear_network(tmp_path / "other.onnx", (5,), 3, 2, dtype="float32"))
    monkeypatch.setattr(module, "_converter", lambda: lambda _: convert(other))
    model = onnx.load(linear_network(tmp_path / "linear.onnx", (5,), 3, 1, dtype="float32"))
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    with pytest.raises(UserError, match="returns a different 'y' from ONNX Runtime"):
        to_torch(model, instances(4, (5,), "float32"), "the classifier")
