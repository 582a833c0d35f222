"""Signed bundles, from the key pair to a service that requires a signature."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.process import run, run_here, running_service


@pytest.fixture
def folder(image_bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(image_bundle_path, tmp_path / "toy" / "1"))


def test_make_keys_sign_check_serve(folder: Path, tmp_path: Path) -> None:
    made = run_here("signing-key", str(tmp_path / "key.pem"))
    assert made.returncode == 0, made.stderr
    found = re.search(r"^public key (\S+)$", made.stdout, re.MULTILINE)
    assert found is not None
    key = found[1]

    refused = run("serve", bundle=folder, port=0, bundle_public_key=key)
    assert refused.returncode == 1
    assert "is not signed, but HARMGAUGE_BUNDLE_PUBLIC_KEY requires a signature" in refused.stderr
    assert "signature: none" in run_here("check", bundle=folder).stdout

    signed = run_here("sign", str(folder), "--key", str(tmp_path / "key.pem"))
    assert signed.returncode == 0, signed.stderr
    assert f"next: HARMGAUGE_BUNDLE_PUBLIC_KEY={key} HARMGAUGE_BUNDLE={folder} harmgauge check" in signed.stdout
    assert "signature: present, but not verified: HARMGAUGE" in run_here("check", bundle=folder).stdout
    checked = run_here("check", bundle=folder, bundle_public_key=key)
    assert checked.returncode == 0, checked.stderr
    assert "signature: verified with HARMGAUGE_BUNDLE_PUBLIC_KEY" in checked.stdout
    with running_service(folder, bundle_public_key=key) as service:
        assert service.client.get("/info").json()["signature"] == "verified"
    with running_service(folder) as service:
        assert service.client.get("/info").json()["signature"] == "unchecked"

    manifest = folder / "bundle.json"
    document = json.loads(manifest.read_text())
    document["threshold"]["value"] = 1e9  # nothing would be flagged any more, although every sha256 still matches
    manifest.write_text(json.dumps(document))
    assert run_here("check", bundle=folder).returncode == 0
    refused = run("serve", bundle=folder, port=0, bundle_public_key=key)
    assert refused.returncode == 1
    assert "do not serve this copy" in refused.stderr


def test_a_key_that_is_none_is_refused_and_not_shown(folder: Path) -> None:
    for key in ("no-key", "-----BEGIN PRIVATE KEY-----"):
        refused = run_here("check", bundle=folder, bundle_public_key=key)
        assert refused.returncode == 1
        assert "HARMGAUGE_BUNDLE_PUBLIC_KEY=..." in refused.stderr
        assert key not in refused.stderr + refused.stdout


def test_a_private_key_that_is_missing_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    refused = run_here("sign", str(folder), "--key", str(tmp_path / "none"))
    assert refused.returncode == 1
    assert "--key" in refused.stderr
    assert "harmgauge signing-key" in refused.stderr
    assert "Traceback" not in refused.stderr
