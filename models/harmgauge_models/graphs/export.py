"""Exports a PyTorch network as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 18


def to_onnx(network: nn.Module, example: Tensor, path: Path, output: str = "logits") -> Path:
    """Export with input `input` (n, *shape), `output` (n, ...) and any number of rows; returns `path`.

    `example` has at least 2 raw instances (a single row would become a constant). Heads write their graphs themselves
    (`networks/writer.py`), which is quicker.
    """
    network.eval()
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
    path.parent.mkdir(parents=True, exist_ok=True)
    model = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces with this machine's paths
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))
    return path
