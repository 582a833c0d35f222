"""Certificates made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def certificate_for_loopback(folder: Path) -> tuple[Path, Path]:
    """The files of a certificate for 127.0.0.1 and of its key."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl is needed"
    files = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=harmgauge", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    made = subprocess.run(
        [openssl, "req", "-x509", *kind, *names, "-out", files[0], "-keyout", files[1]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return files
