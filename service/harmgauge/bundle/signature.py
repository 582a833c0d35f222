"""Signatures of bundles: Ed25519 (RFC 8032) over `bundle.json`, which contains the sha256 of every other file.

A signature is the raw 64 bytes, so OpenSSL can create and verify it too. `cryptography` is an extra, loaded only if it
is used.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harmgauge.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE_FILE = "bundle.json.sig"
SIGNATURE_BYTES = 64

SignatureState = Literal["verified", "unchecked", "none"]
"""`unchecked`: there is a signature, but no public key to verify it with."""

_EXTRA = "signatures require the package cryptography: pip install 'harmgauge[signing]'"


def check(folder: Path, document: bytes, signature: bytes | None, public_keys: Sequence[str]) -> SignatureState:
    """The state of the `signature` of the `bundle.json` in `folder`, whose bytes are `document`.

    `public_keys` are 32 bytes each in base64; one that matches is enough. Raises BundleError if there are keys and none
    matches, SettingsError if they cannot be used.
    """
    if not public_keys:
        return "none" if signature is None else "unchecked"
    if signature is None:
        raise BundleError(
            f"{folder} is not signed, but HARMGAUGE_BUNDLE_PUBLIC_KEY requires a signature: get a signed copy, or run "
            f"`harmgauge sign {folder} --key FILE` on the machine with the private key"
        )
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(f"HARMGAUGE_BUNDLE_PUBLIC_KEY: {_EXTRA}") from error
    for key in public_keys:
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True)).verify(signature, document)
        except InvalidSignature:
            continue
        except ValueError as error:
            raise SettingsError(
                f"HARMGAUGE_BUNDLE_PUBLIC_KEY is not a valid public key ({error}): `harmgauge signing-key` prints one"
            ) from error
        return "verified"
    raise BundleError(
        f"{folder / SIGNATURE_FILE} does not match its bundle.json and HARMGAUGE_BUNDLE_PUBLIC_KEY: the bundle was "
        "changed, or signed with another key; get it from its source again, and do not serve this copy"
    )


def new_key(file: Path) -> str:
    """Write a new private key to `file` (PEM, readable only by its owner) and return its public key in the setting's
    format.

    Raises SettingsError; an existing file is not changed.
    """
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(_EXTRA) from error
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(text)
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be created ({error.strerror}): name a new file in a writable folder"
        ) from error
    return _public(key)


def sign(document: bytes, key_file: Path) -> tuple[bytes, str]:
    """The signature of `document`, and the public key that verifies it. Raises SettingsError if the key is invalid."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(_EXTRA) from error
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        raise SettingsError(
            f"--key {key_file} cannot be used ({error}): expected a PEM file without a password, as "
            "`harmgauge signing-key` makes it"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"--key {key_file} is not an Ed25519 key: `harmgauge signing-key FILE` makes one")
    return key.sign(document), _public(key)


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
