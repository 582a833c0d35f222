"""`harmgauge sign`: adds a signature to a complete bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harmgauge.bundle.load import MANIFEST_FILE, load
from harmgauge.bundle.signature import SIGNATURE_FILE, sign
from harmgauge.errors import BundleError


def sign_bundle(folder: Path, key_file: Path) -> str:
    """Verify the bundle in `folder` and sign it, replacing any previous signature; returns the public key.

    Raises BundleError if the service would refuse the bundle, SettingsError if the key is not valid.
    """
    bundle = load(folder)
    if bundle.manifest.int8 is not None:
        load(folder, "int8")
    document = (folder / MANIFEST_FILE).read_bytes()
    if hashlib.sha256(document).hexdigest() != bundle.sha256:
        raise BundleError(f"{folder / MANIFEST_FILE} has changed in the meantime: run the command again")
    signature, public_key = sign(document, key_file)
    unfinished = folder / f"{SIGNATURE_FILE}.unfinished"
    try:
        unfinished.write_bytes(signature)
        unfinished.replace(folder / SIGNATURE_FILE)
    except OSError as error:
        raise BundleError(f"{folder} is not writable ({error.strerror}): sign a copy in a writable folder") from error
    load(folder, public_keys=(public_key,))
    return public_key
