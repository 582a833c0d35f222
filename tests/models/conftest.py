"""Faster exports in the tests of models."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _torchs_operators_once() -> Iterator[None]:
    """PyTorch's exporter lists its operators once, not again for every export, which takes more than half its time.

    Only if PyTorch is loaded anyway: the list is the same for every network.
    """
    if "torch" not in sys.modules:
        yield
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", _from_torchlib())
        yield


@functools.cache
def _from_torchlib() -> object:
    """PyTorch's own function with a memory."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    return staticmethod(functools.cache(ONNXRegistry.from_torchlib))
