"""Downloads a file over HTTP and keeps it only if its checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from harmgauge_models.errors import UserError

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""Published beside the archive; detects a damaged download."""

_CHUNK_BYTES = 2**20


def download(url: str, md5: str, path: Path, timeout_seconds: float = 60) -> Path:
    """Download `url` to `path` unless it exists; raises UserError and leaves no partial file behind."""
    if path.exists():
        return path
    if not url.startswith(("http://", "https://")):
        raise UserError(f"expected an http or https address, got {url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        # Only http and https reach this line: checked above.
        opened = urllib.request.urlopen(url, timeout=timeout_seconds)  # noqa: S310  # nosec B310
        with opened as answer, part.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(total=total, desc=f"download {path.name}", unit="B", unit_scale=True) as bar:
                while chunk := answer.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                    bar.update(len(chunk))
        if digest.hexdigest() != md5:
            raise UserError(
                f"the file from {url} has the MD5 {digest.hexdigest()}, expected {md5}: try again, or fetch it by hand"
            )
        part.replace(path)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise UserError(f"cannot fetch {url} ({error}): fetch it by hand and name it with --data") from error
    finally:
        part.unlink(missing_ok=True)
    return path
