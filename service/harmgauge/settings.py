"""Every setting of the service, read once from the environment (prefix `HARMGAUGE_`)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from harmgauge.errors import SettingsError

PREFIX = "HARMGAUGE_"
DEFAULT_BUNDLE = "cifar10-resnet32/3"
"""The bundle in the package. The Makefile and pyproject.toml name it too; a test compares them."""

DEFAULT_BUNDLE_SHA256 = "77bd02e402d78fbbacee020e59a96eb65302d661dd938234b3e1bfdeeac2027c"
"""SHA-256 of its `bundle.json`, checked by a test."""

_KUBERNETES_NAME = re.compile(r"HARMGAUGE(_\w+)?_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Keys = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
"""`NAME:SHA256` pairs, separated by commas, never displayed."""

Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Separated by commas."""

Open = Annotated[tuple[Literal["all", "api", "metrics", "page"], ...], BeforeValidator(_split)]
"""Separated by commas."""


PublicKeys = Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")], ...], BeforeValidator(_split)]
"""Base64 of 32 bytes each, separated by commas."""


def shipped_bundle() -> Path:
    """The folder of the default bundle: the installed package's copy, or else the clone's."""
    package = Path(__file__).parent
    installed = package / "bundles" / DEFAULT_BUNDLE
    if installed.is_dir():
        return installed
    return package.parent.parent / "models" / "bundles" / DEFAULT_BUNDLE


class Settings(BaseModel):
    """Immutable settings; the text under a field describes its effect."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid", allow_inf_nan=False)

    bundle: Path = Field(default_factory=shipped_bundle)
    """Folder of the bundle to serve, `models/bundles/NAME/VERSION`. SIGHUP reloads it."""

    bundle_public_key: PublicKeys = ()
    """Serve only bundles signed with its private key; commas separate several. By default no signature is required."""

    shadow: Path | None = None
    """Folder of a second bundle to score the same traffic unseen, for comparison and promotion; none by default."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` (IPv4) and `::` (IPv6 and IPv4) require keys or `HARMGAUGE_OPEN`."""

    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port to listen on; 0 lets the system choose a free one, which is logged."""

    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """TCP port for the Open Inference Protocol over gRPC and gRPC health checks; off by default. 0: any free port."""

    providers: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    """Where the graph runs. `cuda` and `tensorrt` fail at start-up without a working GPU; `auto` falls back to CPU."""

    precision: Literal["float32", "int8"] = "float32"
    """`int8` serves the 8-bit graph, several times as fast on a CPU; the bundle must be built with `--int8`."""

    workers: int | None = Field(default=None, ge=1, le=256)
    """Number of parallel inferences; by default one per core available to the process, and one on a GPU."""

    max_batch_rows: int | None = Field(default=None, ge=1, le=65_536)
    """Most rows in one run of the graph, by default 32 on CPUs and 256 on a GPU; larger requests are split."""

    max_queue_rows: int = Field(default=4096, ge=1, le=10_000_000)
    """Most rows waiting to be scored; beyond it requests get 429 at once, and a single request larger than it 413."""

    max_body_bytes: int = Field(default=16 * 2**20, ge=1, le=2**30)
    """Largest request body; larger ones get 413."""

    max_bodies_bytes: int | None = Field(default=None, ge=1, le=2**40)
    """Most bytes of all unanswered bodies together; beyond it requests get 429. Default: 8 times the largest body."""

    max_image_pixels: int = Field(default=25_000_000, ge=1, le=150_000_000)
    """Most pixels of all images that are decoded at once, at 4 to 16 bytes each; a single larger one gets 413."""

    deadline_seconds: float = Field(default=10.0, gt=0, le=3600)
    """Time allowed from a request's head to its scores, or it gets 504. `X-Harmgauge-Deadline-Seconds` shortens it."""

    inference_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A run of the graph that takes longer counts as hung: `/livez` fails, and `/readyz` once no worker is left."""

    connection_timeout_seconds: float = Field(default=10.0, ge=0.1, le=3600)
    """A connection is closed if no complete head arrives, or no byte of an answer is read, for 1 to 2 times this."""

    max_connections: int = Field(default=2000, ge=8, le=1_000_000)
    """Most HTTP connections at once; beyond it, each new one closes one that is waiting for its client."""

    drain_seconds: float = Field(default=8.0, gt=0, le=3600)
    """After SIGTERM, requests in flight get this long to finish."""

    lame_duck_seconds: float = Field(default=0.0, ge=0, le=3600)
    """After SIGTERM `/readyz` fails and serving continues this long before the drain; a second SIGTERM skips it."""

    window_rows: int | None = Field(default=None, ge=2, le=1_000_000)
    """Recent rows in the window of `score_ks` and the accuracy estimate; by default as the bundle specifies."""

    window_seconds: float | None = Field(default=None, ge=1, le=10**8)
    """Rows older than this leave that window as well; by default rows never expire."""

    feature_mmd: bool = True
    """Whether to monitor the classifier's features too, if the bundle has them; `false` turns this off."""

    feature_window_rows: int = Field(default=500, ge=20, le=2000)
    """Recent rows of features that `feature_mmd` compares with the reference."""

    rows_between_false_alarms: int | None = Field(default=None, ge=1, le=10**15)
    """Mean number of scores between false alarms of `drift_detected`, at least; by default as the bundle specifies."""

    tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Share of the traffic that may be arbitrary without counting as evidence of drift; 0 is the strict guarantee."""

    accuracy_drop: float | None = Field(default=None, gt=0, lt=1)
    """`harm` raises the alarm if the accuracy estimate falls by more than this share; 0.02 unless a floor is set."""

    accuracy_floor: float | None = Field(default=None, gt=0, lt=1)
    """`harm` raises the alarm if the accuracy estimate falls below this; set either this or the drop, not both."""

    max_sources: int = Field(default=10_000, ge=0, le=100_000)
    """Most sources (`X-Harmgauge-Source`) to monitor separately, at about 1 KB each; 0 ignores the header."""

    source_interval_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """A source's rows within this time count as one observation; by default each request counts as one."""

    drift_interval_seconds: float = Field(default=5.0, gt=0, le=3600)
    """How often the drift state is updated if nothing requests it; with the page, at least every 5 s."""

    page: bool = True
    """Whether to serve the live page at `/` and keep the last hour's history for it; `false` turns off both."""

    state_dir: Path | None = None
    """Folder that keeps windows and evidence across restarts, one per process; by default they are kept in memory."""

    capture_dir: str | None = None
    """Folder, or address such as `s3://bucket/folder`, where flagged inputs are kept as Parquet; off by default."""

    capture_ratio: float = Field(default=1.0, gt=0, le=1)
    """Share of the flagged inputs that is kept, chosen at random."""

    capture_excluded_columns: Names = ()
    """Columns or inputs, by name, that are left out of captured inputs; for bundles with named columns or inputs."""

    capture_file_bytes: int = Field(default=8 * 2**20, ge=1, le=2**29)
    """A file is written as soon as this many bytes of inputs are waiting for it."""

    capture_file_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A file is written once its first input has waited this long; `kill -9` loses no more than that."""

    capture_queue_bytes: int = Field(default=64 * 2**20, ge=2**20, le=2**30)
    """Most memory for inputs on their way to a file; beyond it inputs are dropped and counted."""

    capture_max_bytes: int = Field(default=2**30, ge=2**20, le=2**50)
    """Most bytes of all files in the folder; the oldest are deleted first. An object store needs its own rule."""

    capture_max_age_seconds: float | None = Field(default=None, ge=60, le=10**9)
    """Files are deleted from the folder when their first input is this old; by default only when the folder is full."""

    api_keys: Keys = ()
    """Keys for scoring and reading, as `NAME:SHA256`, separated by commas; `harmgauge key NAME` makes one."""

    api_keys_file: Path | None = None
    """File of such keys, one per line; changes apply within seconds. The same holds for the other key files."""

    metrics_keys: Keys = ()
    """Read-only keys: `/metrics`, the live page, `/drift` and `/info`."""

    metrics_keys_file: Path | None = None
    """File of read-only keys."""

    admin_keys: Keys = ()
    """Keys for `/admin` and everything else; without one, `/admin` is closed."""

    admin_keys_file: Path | None = None
    """File of keys for `/admin`."""

    trusted_keys: Names = ()
    """Names of keys whose requests may name their client and source; if there are no keys, all requests may."""

    open: Open = ()
    """What needs no key: `api`, `metrics`, `page`, `all`. By default all on loopback without keys, else nothing."""

    flags_only: bool = False
    """Whether keys of `HARMGAUGE_API_KEYS` get flags only, because scores would help to tune an attack."""

    rows_per_second_per_key: float | None = Field(default=None, gt=0, le=10**9)
    """Mean scored rows per second allowed to each of `HARMGAUGE_API_KEYS`; beyond it, 429. No limit by default."""

    requests_per_second_per_key: float | None = Field(default=None, gt=0, le=10**9)
    """Mean requests per second, of any kind, allowed to each non-admin key; beyond it, 429. No limit by default."""

    bytes_per_second_per_key: float | None = Field(default=None, gt=0, le=10**15)
    """Mean body bytes per second allowed to each of `HARMGAUGE_API_KEYS`; beyond it, 429. No limit by default."""

    tls_certificate: Path | None = None
    """PEM file of the certificate, followed by its chain, for HTTPS and for gRPC over TLS."""

    tls_key: Path | None = None
    """PEM file of the certificate's private key."""

    client_key: SecretStr | None = None
    """Key that `harmgauge demo` and `harmgauge reference` send to the service."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest severity that is logged."""

    log_format: Literal["text", "json"] = "text"
    """`json` writes each message as a JSON object on one line, with fields such as the request's id."""

    access_log: Literal["errors", "all", "off"] = "errors"
    """Requests to log: those refused or failed, all of them, or (`off`) only those that failed unexpectedly."""

    tracing: bool = False
    """Whether to send OpenTelemetry traces to OTEL_EXPORTER_OTLP_ENDPOINT; requires the extra `tracing`."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environment` alone (by default the process's environment).

    An empty variable counts as unset. Raises SettingsError, naming the variable and the remedy.
    """
    environment = os.environ if environment is None else environment
    given = {
        _field(variable): value
        for variable, value in environment.items()
        if variable.upper().startswith(PREFIX) and not _from_kubernetes(variable, value)
    }
    given = {field: value for field, value in given.items() if value}
    try:
        return Settings.model_validate_strings(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        variable = _variable(field)
        value = "..." if variable.endswith(("_KEYS", "_CLIENT_KEY", "_PUBLIC_KEY")) else repr(given[field])
        raise SettingsError(f"{variable}={value}: {first['msg']}") from error


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _field(variable: str) -> str:
    """The field that a variable sets. Raises SettingsError for an unknown or misspelled variable."""
    field = variable[len(PREFIX) :].lower()
    if field in Settings.model_fields and variable == _variable(field):
        return field
    close = get_close_matches(field, Settings.model_fields, n=1)
    hint = f"; did you mean {_variable(close[0])}?" if close else ""
    raise SettingsError(f"{variable} is not a setting{hint} (`harmgauge check` lists them all)")


def _from_kubernetes(variable: str, value: str) -> bool:
    """Whether Kubernetes set the variable: a Service called harmgauge gives every pod HARMGAUGE_PORT=tcp://10.0.0.1:80.

    The variables of a Service called harmgauge-grpc have the name of another setting, so those are recognised by the
    address alone.
    """
    if _KUBERNETES_NAME.fullmatch(variable) is None:
        return False
    is_setting = variable[len(PREFIX) :].lower() in Settings.model_fields
    return not is_setting or _KUBERNETES_ADDRESS.match(value) is not None
