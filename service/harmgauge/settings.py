"""Every knob of the service, read once from the environment (prefix `HARMGAUGE_`)."""

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
"""The bundle that the package carries. The Makefile and pyproject.toml name it too; a test compares them."""

DEFAULT_BUNDLE_SHA256 = "b264de6ae7011b0be284c08a4cd4cbf2245cad7835e15c0b6528d402aa0a9a95"
"""SHA-256 of its `bundle.json`. A test compares them."""

_KUBERNETES_NAME = re.compile(r"HARMGAUGE(_\w+)?_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Keys = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
"""`NAME:SHA256` each, written with commas between, never shown."""

Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Written with commas between."""

Open = Annotated[tuple[Literal["all", "api", "metrics", "page"], ...], BeforeValidator(_split)]
"""Written with commas between."""


PublicKeys = Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")], ...], BeforeValidator(_split)]
"""Base64 of 32 bytes each, written with commas between."""


def shipped_bundle() -> Path:
    """The folder of the default bundle: the installed package's own copy, else the clone's."""
    package = Path(__file__).parent
    installed = package / "bundles" / DEFAULT_BUNDLE
    if installed.is_dir():
        return installed
    return package.parent.parent / "models" / "bundles" / DEFAULT_BUNDLE


class Settings(BaseModel):
    """One frozen tree; the text under a field describes its effect."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid", allow_inf_nan=False)

    bundle: Path = Field(default_factory=shipped_bundle)
    """Folder of the bundle to serve: `models/bundles/NAME/VERSION`. SIGHUP reads it again."""

    bundle_public_key: PublicKeys = ()
    """Only bundles signed with its private key are served; several with commas between. By default none need be."""

    shadow: Path | None = None
    """Folder of a second bundle that scores the same traffic unseen, to be compared and promoted; by default none."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` (IPv4) and `::` (IPv6 and IPv4) need keys, or `HARMGAUGE_OPEN`."""

    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port to listen on; 0 lets the system choose one, which the log names."""

    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """TCP port for the Open Inference Protocol over gRPC, and its health; off by default. 0: the system chooses."""

    providers: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    """Where the graph runs: `cuda` and `tensorrt` refuse to start without a working GPU, `auto` takes the CPU then."""

    precision: Literal["float32", "int8"] = "float32"
    """`int8` serves the graph in 8 bits, several times as fast on a CPU, where the bundle was built with `--int8`."""

    workers: int | None = Field(default=None, ge=1, le=256)
    """Inferences side by side; by default one for each core this process may use, and one on a GPU."""

    max_batch_rows: int | None = Field(default=None, ge=1, le=65_536)
    """Most rows in one run of the graph, by default 32 on CPUs and 256 on a GPU; larger requests are run in pieces."""

    max_queue_rows: int = Field(default=4096, ge=1, le=10_000_000)
    """Rows accepted and not yet scored; past that, requests get 429 instead of a longer wait, larger ones 413."""

    max_body_bytes: int = Field(default=16 * 2**20, ge=1, le=2**30)
    """Largest request body; past that, 413."""

    max_bodies_bytes: int | None = Field(default=None, ge=1, le=2**40)
    """Most bytes of all unanswered bodies together; past that, 429. By default eight of the largest."""

    deadline_seconds: float = Field(default=10.0, gt=0, le=3600)
    """From a request's head to its scores; then 504. The header `X-Harmgauge-Deadline-Seconds` may ask for less."""

    inference_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A run of the graph that takes longer hangs: `/livez` fails then, and `/readyz` once no worker is left."""

    connection_timeout_seconds: float = Field(default=10.0, ge=0.1, le=3600)
    """A connection is closed where no whole head comes, or no byte of an answer is taken, for one to two times this."""

    max_connections: int = Field(default=2000, ge=8, le=1_000_000)
    """Most HTTP connections at once; for one more, one that waits for its client is closed."""

    drain_seconds: float = Field(default=8.0, gt=0, le=3600)
    """After SIGTERM, requests in flight get this long to finish."""

    lame_duck_seconds: float = Field(default=0.0, ge=0, le=3600)
    """After SIGTERM `/readyz` fails, and all is served this long before it drains; a second SIGTERM ends it."""

    window_rows: int | None = Field(default=None, ge=2, le=1_000_000)
    """Recent rows for `score_ks` and the estimate of accuracy; by default what the bundle says."""

    window_seconds: float | None = Field(default=None, ge=1, le=10**8)
    """Rows older than this leave that window as well; by default none grows too old."""

    feature_mmd: bool = True
    """Whether the classifier's features are watched too, where the bundle has them; `false` leaves them out."""

    feature_window_rows: int = Field(default=500, ge=20, le=2000)
    """Recent rows of features that `feature_mmd` compares with the reference's."""

    rows_between_false_alarms: int | None = Field(default=None, ge=1, le=10**15)
    """Fewest scores, on average, between two false alarms of `drift_detected`; by default what the bundle says."""

    tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Share of the traffic that may be anything at all without being evidence of drift; 0 is the strict guarantee."""

    accuracy_drop: float | None = Field(default=None, gt=0, lt=1)
    """`harm` gives the alarm if the estimate of accuracy falls by more than this share; .02 unless a floor is set."""

    accuracy_floor: float | None = Field(default=None, gt=0, lt=1)
    """`harm` gives the alarm if the estimate of accuracy falls below this; set this or the drop, not both."""

    drift_interval_seconds: float = Field(default=5.0, gt=0, le=3600)
    """How often the drift state is brought up to date while nobody looks; with the page, at least every 5 s."""

    page: bool = True
    """Whether the live page is at `/`, with the last hour's history that it shows; `false` leaves both out."""

    state_dir: Path | None = None
    """Folder that keeps windows and evidence over a restart, one for each process; without it they live in memory."""

    capture_dir: str | None = None
    """Folder, or address such as `s3://bucket/folder`, for flagged inputs as Parquet files; off by default."""

    capture_ratio: float = Field(default=1.0, gt=0, le=1)
    """Share of the flagged inputs that is kept, drawn at random."""

    capture_file_bytes: int = Field(default=8 * 2**20, ge=1, le=2**29)
    """A file is written as soon as inputs of this many bytes wait for it."""

    capture_file_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A file is written once its first input has waited this long; `kill -9` loses no more."""

    capture_queue_bytes: int = Field(default=64 * 2**20, ge=2**20, le=2**30)
    """Most memory that inputs take on their way to a file; past that they are dropped and counted."""

    capture_max_bytes: int = Field(default=2**30, ge=2**20, le=2**50)
    """Most bytes of all files in the folder; the oldest go first. An object store needs a rule of its own."""

    capture_max_age_seconds: float | None = Field(default=None, ge=60, le=10**9)
    """Files are deleted from the folder when their first input is this old; by default only for want of room."""

    api_keys: Keys = ()
    """Keys for scoring and asking, `NAME:SHA256` each, with commas between; `harmgauge key NAME` makes one."""

    api_keys_file: Path | None = None
    """File of such keys, one a line; a change is in force within seconds. The same holds for the other files."""

    metrics_keys: Keys = ()
    """Keys that only look: `/metrics`, the live page, `/drift` and `/info`."""

    metrics_keys_file: Path | None = None
    """File of keys that only look."""

    admin_keys: Keys = ()
    """Keys for `/admin`, which open all the rest too; without one `/admin` is closed."""

    admin_keys_file: Path | None = None
    """File of keys for `/admin`."""

    trusted_keys: Names = ()
    """Names of keys whose requests may name their client and source; without any keys all may."""

    open: Open = ()
    """What needs no key: `api`, `metrics`, `page` or `all`. By default all on loopback without keys, else nothing."""

    flags_only: bool = False
    """Whether keys of `HARMGAUGE_API_KEYS` get flags without scores, by which somebody could tune an attack."""

    rows_per_second_per_key: float | None = Field(default=None, gt=0, le=10**9)
    """Rows that each of `HARMGAUGE_API_KEYS` may have scored, on average; past that, 429. By default no limit."""

    requests_per_second_per_key: float | None = Field(default=None, gt=0, le=10**9)
    """Requests of any kind that each key but admin's may send, on average; past that, 429. By default no limit."""

    bytes_per_second_per_key: float | None = Field(default=None, gt=0, le=10**15)
    """Bytes of bodies that each of `HARMGAUGE_API_KEYS` may send, on average; past that, 429. By default no limit."""

    tls_certificate: Path | None = None
    """PEM file of the certificate, its chain behind it, for HTTPS and for gRPC over TLS."""

    tls_key: Path | None = None
    """PEM file of the certificate's private key."""

    client_key: SecretStr | None = None
    """Key that `harmgauge demo` and `harmgauge reference` send to the service."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is logged."""

    log_format: Literal["text", "json"] = "text"
    """`json` writes each message as one JSON object a line, with the request's id and the like as fields."""

    access_log: Literal["errors", "all", "off"] = "errors"
    """Which requests get a line each: those refused or failed, all of them, or those only that broke something."""

    tracing: bool = False
    """Whether requests are sent as OpenTelemetry traces, to OTEL_EXPORTER_OTLP_ENDPOINT; needs the extra `tracing`."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process, from nothing but `environment` (by default the process's own).

    An empty variable is a setting left out. Raises SettingsError, which names the variable and the remedy.
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
    """The field that a variable sets. Raises SettingsError for a variable that sets none, or is spelled differently."""
    field = variable[len(PREFIX) :].lower()
    if field in Settings.model_fields and variable == _variable(field):
        return field
    close = get_close_matches(field, Settings.model_fields, n=1)
    hint = f"; did you mean {_variable(close[0])}?" if close else ""
    raise SettingsError(f"{variable} is not a setting{hint} (`harmgauge check` lists them all)")


def _from_kubernetes(variable: str, value: str) -> bool:
    """Whether Kubernetes set the variable: a Service called harmgauge gives every pod HARMGAUGE_PORT=tcp://10.0.0.1:80.

    A Service called harmgauge-grpc has the name of another setting, so those are identified by the address alone.
    """
    if _KUBERNETES_NAME.fullmatch(variable) is None:
        return False
    is_setting = variable[len(PREFIX) :].lower() in Settings.model_fields
    return not is_setting or _KUBERNETES_ADDRESS.match(value) is not None
