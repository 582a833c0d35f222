"""Bundles that are built once a process: asked for again, a copy takes their place, half a second of CPU time less."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import fields
from functools import cache
from pathlib import Path

from harmgauge.bundle.write import reserve
from harmgauge_models.building.build import build
from harmgauge_models.options import Options
from tests.support.few_rows import few_judged
from tests.support.not_drawn import build_report_not_drawn

_made: dict[str, Path] = {}
"""The folder of each bundle that was built, by its options and its files' contents."""


def built(options: Options) -> Path:
    """Like `build`, without the plots of its report."""
    folder = reserve(options.out, options.name, options.version)
    key = _key(options, folder.name)
    if key in _made:
        return Path(shutil.copytree(_made[key], folder))
    with build_report_not_drawn(), few_judged(600):
        folder = build(options)
    _made[key] = Path(shutil.copytree(folder, Path(tempfile.mkdtemp(dir=_kept().name)) / folder.name))
    return folder


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """Where copies are kept: tests change the bundles that they get. It is deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="built-", ignore_cleanup_errors=True)


def _key(options: Options, version: str) -> str:
    """A bundle depends on its version, every option but where it lies, and the contents of the files."""
    asked = {each.name: getattr(options, each.name) for each in fields(options)}
    for name in ("out", "say", "work", "version"):
        del asked[name]
    files = {name: hashlib.sha256(path.read_bytes()) for name, path in asked.items() if isinstance(path, Path)}
    return repr((version, asked | {name: digest.hexdigest() for name, digest in files.items()}))
