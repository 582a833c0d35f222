"""Selects ONNX Runtime's execution providers, and checks that they are really in use."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort

from harmgauge.bundle.load import Bundle
from harmgauge.errors import SettingsError


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Number of cores in the affinity mask, but at most the cgroup's CPU quota (v2 or v1), rounded up; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_v2(cgroup / "cpu.max") or _quota_v1(cgroup / "cpu")
    return max(1, min(cores, math.ceil(quota))) if quota else max(1, cores)


def _quota_v2(file: Path) -> float | None:
    try:
        quota, period = file.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


Providers = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

_NEEDED = {"cuda": CUDA, "tensorrt": TENSORRT}

_CUDA_OPTIONS = {
    # With TF32, ONNX Runtime's default, scores of 1,000 images differed by up to 0.04 from the CPU's, on which bundles
    # are calibrated; in float32 by 0.00001.
    "use_tf32": "0",
    # Planning a batch size took 80 ms instead of 330, and runs took as long, except for 9 % more with 256 rows.
    "cudnn_conv_algo_search": "HEURISTIC",
}


def wanted(providers: Providers, bundle: Bundle, batch_sizes: Sequence[int]) -> list[Any]:
    """The providers of a session, best first. Raises SettingsError if the installed runtime lacks one."""
    available = ort.get_available_providers()
    needed = _NEEDED.get(providers)
    if needed is not None and bundle.precision == "int8":
        raise SettingsError(f"HARMGAUGE_PRECISION=int8 is for CPUs only: unset it, or HARMGAUGE_PROVIDERS={providers}")
    if needed is not None and needed not in available:
        raise SettingsError(f"HARMGAUGE_PROVIDERS={providers} requires onnxruntime-gpu: pip install 'harmgauge[gpu]'")
    if providers == "cpu" or bundle.precision == "int8" or CUDA not in available:
        return [CPU]
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN may be installed as Python packages, outside the linker's search path
    chosen: list[Any] = [(CUDA, _CUDA_OPTIONS), CPU]
    if providers == "tensorrt":
        chosen.insert(0, (TENSORRT, _tensorrt_options(bundle, batch_sizes)))
    return chosen


def check_in_use(providers: Providers, in_use: Sequence[str]) -> None:
    """Raises SettingsError if ONNX Runtime has silently fallen back to the CPU."""
    needed = _NEEDED.get(providers)
    if needed is not None and in_use[0] != needed:
        raise SettingsError(
            f"HARMGAUGE_PROVIDERS={providers}, but ONNX Runtime could not use it (it would fall back to {in_use[0]}): "
            "check the driver, CUDA, cuDNN and TensorRT, or set HARMGAUGE_PROVIDERS=cpu"
        )


def _tensorrt_options(bundle: Bundle, batch_sizes: Sequence[int]) -> dict[str, str]:
    """One engine for all batch sizes; without a profile TensorRT would build another for each new size."""
    smallest, largest = batch_sizes[0], batch_sizes[-1]

    def profile(rows: int, *, is_longest: bool) -> str:
        shapes = []
        for found in bundle.manifest.inputs:
            free = (found.maximum or 1) if is_longest else 1
            shapes.append(f"{found.name}:{'x'.join(map(str, (rows, *(size or free for size in found.shape))))}")
        return ",".join(shapes)

    return {
        "trt_profile_min_shapes": profile(smallest, is_longest=False),
        "trt_profile_opt_shapes": profile(largest, is_longest=True),
        "trt_profile_max_shapes": profile(largest, is_longest=True),
    }
