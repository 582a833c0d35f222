"""Who may use the service, as the settings say it."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from service.api.gate import Area, Gate, Kind, Policy
from service.errors import SettingsError
from service.keys import KeyFile, Names, read_lines
from service.settings import PREFIX, Settings

_OPEN = {"api": {Area.SCORES, Area.INFO, Area.DRIFT}, "metrics": {Area.METRICS}, "page": {Area.PAGE}}


def gate(settings: Settings) -> tuple[Gate, list[KeyFile]]:
    """The gate with the keys that there are, and the files to look at again. Raises SettingsError."""
    made = Gate(Policy(_open_areas(settings), settings.flags_only, settings.rows_per_second_per_key))
    files = []
    for kind in (Kind.API, Kind.METRICS, Kind.ADMIN):
        name = f"{kind.value}_keys"
        fixed = _fixed(getattr(settings, name), f"{PREFIX}{name.upper()}")
        path: Path | None = getattr(settings, f"{name}_file")
        made.set_keys(kind, fixed)
        if path is not None:
            file = KeyFile(path, partial(_set_both, made, kind, fixed))
            file.start()
            files.append(file)
    return made, files


def tls_files(settings: Settings) -> tuple[Path, Path] | None:
    """Certificate and private key; None where there is no TLS. Raises SettingsError where they do not work."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("HARMGAUGE_TLS_CERTIFICATE and HARMGAUGE_TLS_KEY need each other: set both, or none")
    try:
        # No password is asked for: nobody sits at a service's terminal. The empty one says that there is none.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")  # nosec B106
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"HARMGAUGE_TLS_CERTIFICATE={certificate} and HARMGAUGE_TLS_KEY={key} give no TLS ({error}): both must be "
            "PEM files, the key the certificate's own and without a password"
        ) from error
    return certificate, key


def _set_both(gate: Gate, kind: Kind, fixed: Names, from_file: Names) -> None:
    gate.set_keys(kind, {**fixed, **from_file})


def _fixed(keys: Sequence[SecretStr], where: str) -> Names:
    return read_lines([key.get_secret_value() for key in keys], where)


def _open_areas(settings: Settings) -> frozenset[Area]:
    has_keys = bool(settings.api_keys or settings.api_keys_file)
    names = set(_OPEN) if "all" in settings.open else set(settings.open)
    if not settings.open and not has_keys:
        if not _is_loopback(settings.host):
            raise SettingsError(
                f"HARMGAUGE_HOST={settings.host} answers to the network: set HARMGAUGE_API_KEYS (`harmgauge key NAME` "
                "makes one), or HARMGAUGE_OPEN=all where whoever reaches it may use it"
            )
        names = set(_OPEN)
    if "api" in names and has_keys:
        raise SettingsError("HARMGAUGE_OPEN opens the API, so HARMGAUGE_API_KEYS would protect nothing: drop one")
    if (settings.metrics_keys or settings.metrics_keys_file) and names >= {"metrics", "page"}:
        raise SettingsError(
            "metrics and page are open, so HARMGAUGE_METRICS_KEYS would protect nothing: set HARMGAUGE_API_KEYS "
            "as well, or say HARMGAUGE_OPEN=api"
        )
    if settings.flags_only and names & {"metrics", "page"}:
        raise SettingsError(
            "HARMGAUGE_FLAGS_ONLY hides what metrics and page show: set HARMGAUGE_API_KEYS, and leave both out of "
            "HARMGAUGE_OPEN"
        )
    if settings.rows_per_second_per_key is not None and not has_keys:
        raise SettingsError("HARMGAUGE_ROWS_PER_SECOND_PER_KEY limits keys, and there are none: set HARMGAUGE_API_KEYS")
    areas: set[Area] = set().union(*(_OPEN[name] for name in names))
    # The state of a detector moves with every score: it tells of each what it was.
    return frozenset(areas - {Area.DRIFT} if settings.flags_only else areas)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
