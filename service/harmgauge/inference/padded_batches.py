"""Runs only a few batch sizes, each in its own session, through device buffers that are bound once.

ONNX Runtime plans the convolutions of a session for its last batch size only, and plans them again whenever the size
changes: on an H200 this took 80 to 400 ms, against 1.5 ms for the run itself. Batches are padded to the next size; each
size is warmed up at start-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import onnxruntime as ort

from harmgauge.bundle.probe_row import blank_rows
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.inference.outputs import Outputs, RowShapes


def batch_sizes(max_batch_rows: int) -> tuple[int, ...]:
    """1, then 8 doubled again and again, then the largest: padding never doubles a batch of 5 rows or more."""
    sizes, size = [1], 8
    while size < max_batch_rows:
        sizes.append(size)
        size *= 2
    return tuple(dict.fromkeys([*sizes, max_batch_rows]))


@dataclass(frozen=True)
class _Buffers:
    """`host` (size, *shape) collects the rows of an incomplete batch; the other buffers are on the device."""

    host: Rows
    input: Any
    outputs: dict[str, Any]
    binding: Any


class FixedSizes:
    """Runs batches padded to fixed sizes.

    `sessions` holds the session of each size, in ascending order. `outputs` are the requested outputs; `device` is ONNX
    Runtime's name for the device, cuda or cpu. Threads may run in parallel, each with its own buffers.
    """

    def __init__(
        self,
        sessions: Mapping[int, ort.InferenceSession],
        spec: InputSpec,
        outputs: RowShapes,
        device: str,
    ) -> None:
        self._sessions = sessions
        self._spec = spec
        self._outputs = outputs
        self._device = device
        self._free: dict[int, SimpleQueue[_Buffers]] = {size: SimpleQueue() for size in sessions}

    def run(self, rows: Rows) -> Outputs:
        """The outputs for at most as many rows as the largest size."""
        count = len(rows)
        size = next(size for size in self._free if size >= count)
        try:
            buffers = self._free[size].get_nowait()
        except Empty:
            buffers = self._allocate(size)
        try:
            if count == size:
                buffers.input.update_inplace(np.ascontiguousarray(rows))
            else:
                buffers.host[:count] = rows  # the rows after these are scored as well, and cut off
                buffers.input.update_inplace(buffers.host)
            self._sessions[size].run_with_iobinding(buffers.binding)
            buffers.binding.synchronize_outputs()
            # Copies: on the CPU these arrays are the buffers themselves.
            return Outputs(**{name: output.numpy()[:count].copy() for name, output in buffers.outputs.items()})
        finally:
            self._free[size].put(buffers)

    def _allocate(self, size: int) -> _Buffers:
        host = blank_rows(self._spec, size)
        make = ort.OrtValue
        on_device = make.ortvalue_from_numpy(host, self._device, 0)
        binding = self._sessions[size].io_binding()
        binding.bind_ortvalue_input(self._spec.name, on_device)
        outputs = {}
        for name, shape in self._outputs.items():
            output = make.ortvalue_from_shape_and_type((size, *shape), np.float32, self._device, 0)
            binding.bind_ortvalue_output(name, output)
            outputs[name] = output
        return _Buffers(host, on_device, outputs, binding)
