"""All targets by name, each made on request, because some start a service."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.target import Target

READERS = (
    "json", "records", "texts", "npy", "npz", "parquet", "raw", "png", "jpeg", "webp", "v2", "v2_named", "grpc",
    "grpc_named", "graph", "requests", "keys",
)  # fmt: skip


def reader(name: str) -> Target:
    """The target of this name; raises KeyError if there is none."""
    if name not in READERS:
        raise KeyError(name)
    target = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target
