"""Converts the fused graph to 8 bits, for CPUs: both networks' inner layers, but not the divergence.

Static quantisation in QDQ form by `onnxruntime.quantization`: activations uint8, weights int8 per channel. Weights have
7 bits, because 8 would overflow inside a product on processors without VNNI instructions.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import name_opsets_once
from harmgauge_models.graphs.records import feeds, run
from harmgauge_models.graphs.run import open_session

CALIBRATION_ROWS = 512
LINEAR = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
QUANTISED = [*sorted(LINEAR), "Add", "AveragePool", "Concat", "GlobalAveragePool", "MaxPool", "Relu"]


class _Rows(CalibrationDataReader):  # type: ignore[misc]  # the base has no types
    """Passes rows to the quantiser in batches."""

    def __init__(self, x: Array, inputs: Sequence[Any]) -> None:
        self._batches: Iterator[Array] = iter(np.array_split(x, max(1, len(x) // 64)))
        self._inputs = inputs

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else feeds(batch, self._inputs)


def quantise(graph: bytes, x: Array) -> bytes:
    """Quantise the graph, with ranges calibrated on the first rows of `x` (n, *shape). Raises UserError."""
    with tempfile.TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder) / name for name in ("given.onnx", "prepared.onnx", "made.onnx"))
        model = onnx.load_from_string(graph)
        name_opsets_once(model)
        onnx.save_model(model, str(given))
        quiet = logging.getLogger()
        level = quiet.level
        quiet.setLevel(logging.ERROR)  # it recommends steps that have already been done here
        try:
            quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
            model = onnx.load(str(prepared))
            for index, node in enumerate(model.graph.node):
                node.name = node.name or f"unnamed_{index}"  # nodes are excluded by name
            onnx.save_model(model, str(prepared))
            kept = _kept_in_float(model)
            if not any(node.op_type in LINEAR and node.name not in kept for node in model.graph.node):
                raise UserError(
                    "--int8: the networks have no inner Conv, Gemm or MatMul to quantise; leave the option out"
                )
            quantize_static(
                str(prepared),
                str(made),
                _Rows(x[:CALIBRATION_ROWS], open_session(graph).get_inputs()),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTISED,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(kept),
            )
        except UserError:
            raise
        except Exception as error:  # the quantiser raises any kind of error
            raise UserError(
                f"--int8: ONNX Runtime cannot quantise these networks ({error}); leave the option out"
            ) from error
        finally:
            quiet.setLevel(level)
        return made.read_bytes()


def _kept_in_float(model: onnx.ModelProto) -> set[str]:
    """The names of the divergence's nodes, and of each network's last layer, whose outputs the divergence compares.

    Quantised logits would quantise the score.
    """
    maker = {output: node for node in model.graph.node for output in node.output}
    kept: set[str] = set()
    ahead = ["score", "probabilities"]
    while ahead:
        node = maker.get(ahead.pop())
        if node is not None and node.name not in kept:
            kept.add(node.name)
            if node.op_type not in LINEAR:
                ahead.extend(node.input)
    return kept


def speedup(graph: bytes, quantised: bytes, x: Array, batch_rows: int = 32, rounds: int = 7) -> float:
    """The speedup of the second graph on this machine, one thread each, in turn: the median of the rounds."""
    sessions = [open_session(model, threads=1) for model in (graph, quantised)]
    batch = np.ascontiguousarray(x[:batch_rows])
    ratios: list[float] = []
    for _ in range(rounds):
        seconds: list[float] = []
        for session in sessions:
            run(session, ["score"], batch)
            begin = time.perf_counter()
            for _ in range(5):
                run(session, ["score"], batch)
            seconds.append(time.perf_counter() - begin)
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)
