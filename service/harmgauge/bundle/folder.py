"""Reading a file of a bundle's folder, which may hold anything: links elsewhere, devices, files without an end."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from harmgauge.errors import BundleError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


def read_file(folder: Path, name: str, max_bytes: int) -> bytes:
    """The file's bytes; `max_bytes` + 1 of them where it has more. Raises BundleError.

    Links are followed inside the folder only, as Kubernetes' volumes have them.
    """
    file = folder / name
    if _NAME.fullmatch(name) is None:
        raise BundleError(f"{folder} lists {name!r}, which is no name of a file in it: build the bundle again")
    try:
        place = file.resolve()
        if not place.is_relative_to(folder.resolve()):
            raise BundleError(
                f"{file} leads to {place}, outside the bundle: copy the bundle with what its links lead to"
            )
        if not stat.S_ISREG(place.stat().st_mode):
            raise BundleError(f"{file} is no regular file: copy the bundle again")
        with place.open("rb") as stream:
            return stream.read(max_bytes + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, up to Python 3.12
        why = error.strerror if isinstance(error, OSError) else error
        raise BundleError(f"{file} cannot be read ({why})") from error
