"""Signatures made and verified, also by OpenSSL's command."""

from __future__ import annotations

import base64
import builtins
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harmgauge.bundle.load import MANIFEST_FILE, load
from harmgauge.bundle.signature import SIGNATURE_FILE, new_key, sign
from harmgauge.cli.sign import sign_bundle
from harmgauge.errors import BundleError, SettingsError
from tests.support.bundles import replace_file


@pytest.fixture
def folder(image_bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(image_bundle_path, tmp_path / "copy"))


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """The private key's file, and the public key."""
    return tmp_path / "key.pem", new_key(tmp_path / "key.pem")


def test_a_signed_bundle_loads_and_says_so(folder: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    assert load(folder).signature == "none"
    assert sign_bundle(folder, key[0]) == key[1]
    assert load(folder).signature == "unchecked"
    assert load(folder, public_keys=[key[1]]).signature == "verified"
    other = new_key(tmp_path / "other.pem")
    assert load(folder, public_keys=[other, key[1]]).signature == "verified", "one of several is enough"
    with pytest.raises(BundleError, match=r"bundle.json.sig does not match .* do not serve this copy"):
        load(folder, public_keys=[other])
    sign_bundle(folder, tmp_path / "other.pem")
    assert load(folder, public_keys=[other]).signature == "verified", "signed again, by somebody else"
    assert not list(folder.glob("*.unfinished"))


def test_one_without_a_signature_is_refused_where_a_key_is_set(folder: Path, key: tuple[Path, str]) -> None:
    with pytest.raises(
        BundleError, match=r"is not signed, but HARMGAUGE_BUNDLE_PUBLIC_KEY requires a signature: .*harmgauge sign"
    ):
        load(folder, public_keys=[key[1]])


def test_whatever_changes_under_the_signature_is_noticed(folder: Path, key: tuple[Path, str]) -> None:
    sign_bundle(folder, key[0])
    samples = bytearray((folder / "samples.npz").read_bytes())
    samples[100] ^= 1
    (folder / "samples.npz").write_bytes(samples)
    with pytest.raises(BundleError, match="sha256 differs"):
        load(folder, public_keys=[key[1]])
    replace_file(folder, "samples.npz", bytes(samples))  # and the manifest changed to match, which a hash cannot detect
    assert load(folder).signature == "unchecked"
    with pytest.raises(BundleError, match="does not match"):
        load(folder, public_keys=[key[1]])


def test_a_manifest_is_not_looked_at_before_its_signature(folder: Path, key: tuple[Path, str]) -> None:
    sign_bundle(folder, key[0])
    (folder / MANIFEST_FILE).write_bytes(b"no JSON")
    with pytest.raises(BundleError, match="does not match"):
        load(folder, public_keys=[key[1]])


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), bytes(10**6), b"\xff" * 64])
def test_what_is_no_signature_is_refused(folder: Path, key: tuple[Path, str], signature: bytes) -> None:
    (folder / SIGNATURE_FILE).write_bytes(signature)
    with pytest.raises(BundleError, match="does not match"):
        load(folder, public_keys=[key[1]])
    sign_bundle(folder, key[0])
    good = (folder / SIGNATURE_FILE).read_bytes()
    (folder / SIGNATURE_FILE).write_bytes(good + b"\n")
    with pytest.raises(BundleError, match="does not match"):
        load(folder, public_keys=[key[1]])


def test_a_signature_elsewhere_is_refused(folder: Path, key: tuple[Path, str]) -> None:
    sign_bundle(folder, key[0])
    (folder / SIGNATURE_FILE).rename(folder.parent / "sig")
    (folder / SIGNATURE_FILE).symlink_to("../sig")
    with pytest.raises(BundleError, match="outside the folder"):
        load(folder, public_keys=[key[1]])


def test_a_bundle_that_is_not_whole_is_not_signed(folder: Path, key: tuple[Path, str]) -> None:
    (folder / "samples.npz").write_bytes(b"short")
    with pytest.raises(BundleError, match="has 5 bytes"):
        sign_bundle(folder, key[0])
    assert not (folder / SIGNATURE_FILE).exists()


def test_the_private_key_is_for_its_owner_and_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    public_key = new_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(base64.b64decode(public_key)) == 32
    before = file.read_bytes()
    with pytest.raises(SettingsError, match=r"key.pem cannot be created \(File exists\): name a new file"):
        new_key(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(SettingsError, match="--key .* cannot be used"):
        sign(b"", tmp_path / "key.pem")


def openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60).stdout


def test_other_keys_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file)
    with pytest.raises(SettingsError, match="is not an Ed25519 key"):
        sign(b"", file)
    openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", file)
    with pytest.raises(SettingsError, match="expected a PEM file without a password"):
        sign(b"", file)


def test_openssl_verifies_ours_and_we_verify_openssls(folder: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    """With the commands of docs/security.md."""
    sign_bundle(folder, key[0])
    public = tmp_path / "public.pem"
    openssl("pkey", "-in", key[0], "-pubout", "-out", public)
    document, signature = folder / MANIFEST_FILE, folder / SIGNATURE_FILE
    openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-in", document, "-sigfile", signature)
    own = tmp_path / "own.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", own)
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", own, "-in", document, "-out", signature)
    public_key = base64.b64encode(openssl("pkey", "-in", own, "-pubout", "-outform", "DER")[-32:]).decode()
    assert load(folder, public_keys=[public_key]).signature == "verified"


def test_without_the_extra_it_says_what_to_install(
    folder: Path, key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_bundle(folder, key[0])
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"HARMGAUGE_BUNDLE_PUBLIC_KEY: .* pip install 'harmgauge\[signing\]'"):
        load(folder, public_keys=[key[1]])
    with pytest.raises(SettingsError, match=r"pip install 'harmgauge\[signing\]'"):
        sign_bundle(folder, key[0])
    assert load(folder).signature == "unchecked", "who sets no key needs no package"
