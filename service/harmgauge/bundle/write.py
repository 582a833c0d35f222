"""Writes a bundle atomically, verified by the service's own reader."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from harmgauge.bundle.load import MANIFEST_FILE, Bundle, load
from harmgauge.bundle.manifest import FileSpec, Manifest
from harmgauge.bundle.part import NAME_PATTERN
from harmgauge.bundle.signature import SIGNATURE_FILE
from harmgauge.errors import BundleError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """Exchange two paths on one file system with Linux's renameat2; raises OSError on failure.

    On other systems (macOS) this takes two steps, between which the intact `other` is under a temporary name.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        aside = one.with_name(f"{one.name}-before")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
        return
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))


UNFINISHED = ".unfinished-"

Verify = Callable[[Bundle], object]
"""Raises BundleError if a bundle cannot be served."""


def reserve(out: Path, name: str, version: str | None) -> Path:
    """The folder for the new bundle: `version`, or the next free number; creates nothing yet.

    Raises BundleError if it exists, its name is not valid, or its parent is not writable.
    """
    if version is not None and not re.fullmatch(NAME_PATTERN, version):
        raise BundleError(f"--version {version}: expected at most 64 letters, digits, '.', '_' and '-'")
    above = next(path for path in ((out / name).resolve(), *(out / name).resolve().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BundleError(f"{above} is not a writable folder: choose another --out")
    if version is None:
        taken = [int(path.name) for path in (out / name).glob("*") if path.name.isdecimal()]
        version = str(max(taken, default=0) + 1)
    folder = out / name / version
    if folder.exists():
        raise BundleError(f"{folder} already exists; leave out --version for the next number, or choose another --out")
    return folder


def write_bundle(manifest: Manifest, contents: dict[str, bytes], folder: Path, verify: Verify) -> None:
    """Write the bundle to a temporary folder, read it back as the service will, `verify` it, and move it into place.

    `contents` are its files by name; `manifest.files` is created from them. Raises BundleError if the service would
    refuse the bundle, and leaves nothing behind then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=UNFINISHED) as unfinished:
        named = manifest.model_copy(update={"version": folder.name})
        new = _written(named, contents, Path(unfinished) / folder.name, verify)
        try:
            new.rename(folder)  # fails rather than moving it inside a folder that was created in the meantime
        except OSError as error:
            raise BundleError(f"{folder} could not be written ({error.strerror}): try again") from error


def rewrite_bundle(old: Bundle, manifest: Manifest, contents: dict[str, bytes], verify: Verify) -> None:
    """Replace `old` with a bundle with different contents, written and read back as in `write_bundle`.

    At every moment one of the two is in place, complete. A signature is not carried over. Raises BundleError if this
    fails, or if the bundle in place is no longer `old`; in either case nothing has changed.
    """
    check_rewritable(old)
    folder = old.path.resolve()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=UNFINISHED) as unfinished:
        new = _written(manifest, contents, Path(unfinished) / folder.name, verify)
        if load(folder).sha256 != old.sha256:
            raise BundleError(f"{folder} has changed in the meantime: run the command again on the current bundle")
        try:
            exchange(new, folder)
        except OSError as error:
            raise BundleError(
                f"{folder} cannot be exchanged for the new bundle ({error.strerror}): copy it to another file system, "
                "and run the command again there"
            ) from error


def check_rewritable(bundle: Bundle) -> None:
    """Raises BundleError if `rewrite_bundle` would, before hours of work rather than after them."""
    folder = bundle.path.resolve()
    unlisted = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    unlisted -= {MANIFEST_FILE, SIGNATURE_FILE, *bundle.manifest.files}
    if unlisted:
        raise BundleError(f"{folder} contains {sorted(unlisted)[0]}, which does not belong to the bundle: move it away")
    if not os.access(folder.parent, os.W_OK):
        raise BundleError(f"{folder.parent} is not writable: copy the bundle to a writable folder, and use that copy")


def _written(manifest: Manifest, contents: dict[str, bytes], new: Path, verify: Verify) -> Path:
    """The folder `new`, written and checked by the service's own reader."""
    files = {
        name: FileSpec(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in contents.items()
    }
    document = manifest.model_copy(update={"files": files})
    for name, data in contents.items():
        file = new / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (new / MANIFEST_FILE).write_text(document.model_dump_json(indent=1, exclude_none=True) + "\n")
    verify(load(new))
    if manifest.int8 is not None:
        verify(load(new, "int8"))
    return new
