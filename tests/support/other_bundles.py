"""Bundles that cannot replace a given bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.bundles import edit
from tests.support.toy import toy_bundle


def corrupted(bundle: Path, folder: Path) -> Path:
    shutil.copytree(bundle, folder / "corrupted")
    graph = folder / "corrupted" / "detector.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    return graph.parent


def other_input(_: Path, folder: Path) -> Path:
    return toy_bundle(folder / "wide", shape=(5, 4, 3))


def other_classes(_: Path, folder: Path) -> Path:
    return toy_bundle(folder / "classes", classes=4)


def other_name(bundle: Path, folder: Path) -> Path:
    shutil.copytree(bundle, folder / "named")
    edit(folder / "named", lambda manifest: manifest.update(name="another"))
    return folder / "named"
