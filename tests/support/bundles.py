"""Changes files in a bundle's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harmgauge.bundle.load import MANIFEST_FILE

Manifest = dict[str, Any]


def edit(folder: Path, change: Callable[[Manifest], object]) -> None:
    """Apply `change` to the manifest in the folder."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    change(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """Replace the file's contents and update the manifest accordingly."""
    (folder / name).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    edit(folder, lambda manifest: manifest["files"].update({name: entry}))
