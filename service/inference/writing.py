"""Writing a bundle: all of it or nothing, and verified by the reader of the service."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from service.errors import BundleError
from service.inference.bundle import MANIFEST_FILE, FileSpec, Manifest, load
from service.inference.runtime import OnnxRuntime


def reserve(out: Path, name: str, version: str | None) -> Path:
    """The folder for the new bundle: `version`, or the next free number. Raises BundleError for one that is there."""
    if version is None:
        taken = [int(path.name) for path in (out / name).glob("*") if path.name.isdecimal()]
        version = str(max(taken, default=0) + 1)
    folder = out / name / version
    if folder.exists():
        raise BundleError(f"{folder} exists; leave out --version for the next number, or choose another --out")
    return folder


def write_bundle(manifest: Manifest, contents: dict[str, bytes], folder: Path) -> None:
    """Write the bundle beside its place, read it back as the service will, then move it there.

    `contents` are its files by name; `manifest.files` is made from them. Raises BundleError where the service would
    refuse it, having left nothing behind.
    """
    files = {
        name: FileSpec(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in contents.items()
    }
    document = manifest.model_copy(update={"files": files, "version": folder.name})
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
        new = Path(unfinished) / folder.name
        for name, data in contents.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (new / MANIFEST_FILE).write_text(document.model_dump_json(indent=1, exclude_none=True) + "\n")
        OnnxRuntime(load(new), "cpu")
        if manifest.int8 is not None:
            OnnxRuntime(load(new, "int8"), "cpu")
        shutil.move(new, folder)
