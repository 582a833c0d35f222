"""Access control according to the settings."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from harmgauge.auth.keys import KeyFile, Names, read_lines
from harmgauge.auth.policy import Authorizer, Permission, Policy, Role
from harmgauge.auth.rate_limit import Rates
from harmgauge.errors import SettingsError
from harmgauge.settings import PREFIX, Settings

_OPEN = {
    "api": {Permission.SCORES, Permission.INFO, Permission.DRIFT},
    "metrics": {Permission.METRICS},
    "page": {Permission.PAGE},
}


def authorizer(settings: Settings) -> tuple[Authorizer, list[KeyFile]]:
    """The authorizer with the keys from the settings, and the key files to reread. Raises SettingsError."""
    made = Authorizer(
        Policy(
            _open_permissions(settings),
            settings.flags_only,
            Rates(
                settings.rows_per_second_per_key,
                settings.requests_per_second_per_key,
                settings.bytes_per_second_per_key,
            ),
            frozenset(settings.trusted_keys),
        )
    )
    files, names = [], set()
    for role in (Role.API, Role.METRICS, Role.ADMIN):
        name = f"{role.value}_keys"
        fixed = _fixed(getattr(settings, name), f"{PREFIX}{name.upper()}")
        path: Path | None = getattr(settings, f"{name}_file")
        made.set_keys(role, fixed)
        names |= set(fixed.values())
        if path is not None:
            file = KeyFile(path, partial(_set_both, made, role, fixed))
            file.start()
            files.append(file)
    unknown = sorted(set(settings.trusted_keys) - names)
    if unknown and not files:  # a key file may add the key later
        remedy = f"name one of {', '.join(sorted(names))}" if names else "set HARMGAUGE_API_KEYS as well"
        raise SettingsError(f"HARMGAUGE_TRUSTED_KEYS names {unknown[0]!r}, but there is no such key: {remedy}")
    return made, files


def tls_files(settings: Settings) -> tuple[Path, Path] | None:
    """Certificate and private key; None without TLS. Raises SettingsError if they cannot be used."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("HARMGAUGE_TLS_CERTIFICATE and HARMGAUGE_TLS_KEY require each other: set both or neither")
    try:
        # An empty password prevents a prompt: a service has no terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")  # nosec B106
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"HARMGAUGE_TLS_CERTIFICATE={certificate} and HARMGAUGE_TLS_KEY={key} cannot be used ({error}): both must "
            "be PEM files, and the key must belong to the certificate and have no password"
        ) from error
    return certificate, key


def _set_both(authorizer: Authorizer, role: Role, fixed: Names, from_file: Names) -> None:
    authorizer.set_keys(role, {**fixed, **from_file})


def _fixed(keys: Sequence[SecretStr], where: str) -> Names:
    return read_lines([key.get_secret_value() for key in keys], where)


def _open_permissions(settings: Settings) -> frozenset[Permission]:
    has_keys = bool(settings.api_keys or settings.api_keys_file)
    names = set(_OPEN) if "all" in settings.open else set(settings.open)
    if not settings.open and not has_keys:
        if not _is_loopback(settings.host):
            raise SettingsError(
                f"HARMGAUGE_HOST={settings.host} is reachable from the network: set HARMGAUGE_API_KEYS (`harmgauge key "
                "NAME` makes one), or HARMGAUGE_OPEN=all if everyone who can reach it may use it"
            )
        names = set(_OPEN)
    if "api" in names and has_keys:
        raise SettingsError("HARMGAUGE_OPEN opens the API, so HARMGAUGE_API_KEYS would protect nothing: unset one")
    if (settings.metrics_keys or settings.metrics_keys_file) and names >= {"metrics", "page"}:
        raise SettingsError(
            "metrics and page are open, so HARMGAUGE_METRICS_KEYS would protect nothing: set HARMGAUGE_API_KEYS "
            "as well, or HARMGAUGE_OPEN=api"
        )
    if settings.flags_only and names & {"metrics", "page"}:
        raise SettingsError(
            "HARMGAUGE_FLAGS_ONLY hides what metrics and page show: set HARMGAUGE_API_KEYS, and leave both out of "
            "HARMGAUGE_OPEN"
        )
    for what in ("rows", "requests", "bytes"):
        name = f"{what}_per_second_per_key"
        if getattr(settings, name) is not None and not has_keys:
            raise SettingsError(
                f"{PREFIX}{name.upper()} limits keys, but there are none: set HARMGAUGE_API_KEYS, or unset it"
            )
    permissions: set[Permission] = set().union(*(_OPEN[name] for name in names))
    # A detector's state changes with every score, and would reveal each of them.
    return frozenset(permissions - {Permission.DRIFT} if settings.flags_only else permissions)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
