"""Exports a PyTorch network as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from harmgauge_models.networks.writer import OPSET, Unwritable, Written, writes_itself, written


def to_onnx(network: nn.Module, example: Tensor, path: Path, output: str = "logits") -> Path:
    """Export with input `input` (n, *shape), `output` (n, ...) and any number of rows; returns `path`.

    `example` has at least 2 raw instances (a single row would become a constant). harmgauge's own networks write their
    graphs themselves (`writer.py`), which takes milliseconds; PyTorch exports all others.
    """
    network.eval()
    try:
        model = _written(network, example, output)
    except Unwritable:
        model = _exported(network, example, output)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path


def _written(network: nn.Module, example: Tensor, output: str) -> onnx.ModelProto:
    if not isinstance(network, Written) or not writes_itself(network):
        raise Unwritable(type(network).__name__)
    with torch.no_grad():
        made = network(example)
    return written(network, {"input": example}, made.shape[1:], output)


def _exported(network: nn.Module, example: Tensor, output: str) -> onnx.ModelProto:
    # it warns about the opset conversion that is requested here
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's warnings about its dependencies
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["input"],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces with this machine's paths
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    return model
