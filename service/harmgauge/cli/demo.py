"""`harmgauge demo`: sends clean inputs to a running service, then a growing share of corrupted ones."""

from __future__ import annotations

import os
import socket
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Sequence

from harmgauge.bundle.load import load
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.samples import Samples, read_any_samples
from harmgauge.bundle.served_input import InputSpec
from harmgauge.cli.client import Client
from harmgauge.cli.demo_drift import print_line, show_contamination
from harmgauge.errors import BundleError, SettingsError
from harmgauge.observe.feed import INTERVAL_SECONDS
from harmgauge.settings import PREFIX, Settings

MOST_COLUMNS = 6
"""Names of changed columns that are shown: all that pictures have."""


def demo(settings: Settings) -> int:
    """Send clean inputs, then rising shares of corrupted ones, and print when each detector fires."""
    address = _show(settings)
    print_line(f"\nNext: open {address} in a browser; see also {address}/drift and {address}/metrics")
    return 0


def _show(settings: Settings) -> str:
    """The demo against the running service; returns its address."""
    with Client.of(settings) as service:
        info = service.get("/info")
        bundle = load(settings.bundle, public_keys=settings.bundle_public_key)
        if (info["model"], info["sha256"]) != (bundle.manifest.name, bundle.sha256):
            raise BundleError(
                f"{service.address} serves {info['model']}/{info['version']}, which is not {settings.bundle}: "
                "set HARMGAUGE_BUNDLE to the bundle that it serves"
            )
        samples = read_any_samples(bundle)
        print_line(
            f"{service.address} serves {info['model']}/{info['version']}; scores above {info['threshold']:.3f} are "
            "flagged\n"
        )
        served = bundle.manifest.served
        what = "image" if isinstance(served, InputSpec) and served.image else "row"
        _show_single_inputs(service, samples, info["class_names"], what)
        show_contamination(service, samples, what)
        if bundle.sketches is not None:
            _show_columns(service, what)
    return service.address


def demo_with_service(settings: Settings) -> int:
    """`demo` against its own service, on a free port of this machine and without keys."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The settings of this process, but on loopback and without state, so that runs do not affect each other.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = {"BUNDLE": settings.bundle, "PROVIDERS": settings.providers, "PRECISION": settings.precision, "PORT": port}
    environment = kept | {f"{PREFIX}{name}": str(value) for name, value in own.items()}
    print_line(f"starting a service for the demo on http://127.0.0.1:{port} ...")
    with tempfile.TemporaryFile() as log:
        service = subprocess.Popen(  # nosec B603  # our own command
            [sys.executable, "-m", "harmgauge", "serve"], env=environment, stdout=log, stderr=log
        )
        try:
            if not _gets_ready(service, port):
                log.seek(0)
                raise SettingsError(f"the service did not start: {log.read().decode(errors='replace').strip()}")
            _show(settings.model_copy(update={"host": "127.0.0.1", "port": port, "tls_certificate": None}))
        finally:
            service.terminate()
            service.wait()
    print_line("\nNext: run harmgauge serve, and open its page in a browser")
    return 0


def _gets_ready(service: subprocess.Popen[bytes], port: int) -> bool:
    with Client(f"http://127.0.0.1:{port}") as client:
        while service.poll() is None:
            try:
                client.get("/readyz")
            except SettingsError:
                time.sleep(0.1)
            else:
                return True
    return False


def _show_single_inputs(service: Client, samples: Samples[AnyRows], names: list[str], what: str) -> None:
    heads = ("score", "flag", "prediction")
    print_line(f"{'':>5}  {'':<12}{'clean':<28}corrupted")
    print_line(f"{what:>5}  {'label':<12}" + 2 * f"{heads[0]:<8}{heads[1]:<6}{heads[2]:<14}")
    for index in range(min(6, len(samples.clean))):
        label = int(samples.y[index]) if samples.y is not None else -1
        cells = [f"{index:>5}  {names[label] if 0 <= label < len(names) else '-':<12}"]
        for rows in (samples.clean, samples.corrupted):
            answer = service.score(rows[index : index + 1], samples.inputs)
            flag = "FLAG" if answer["is_adversarial"][0] else "ok"
            cells.append(f"{answer['scores'][0]:<8.4f}{flag:<6}{names[answer['predictions'][0]]:<14}")
        print_line("".join(cells))


def _show_columns(service: Client, what: str) -> None:
    """Print which columns have changed, if any have."""
    if what == "image":
        time.sleep(2 * INTERVAL_SECONDS)  # until the newest of the sampled ones are measured
    found = service.get("/drift/columns")["columns"]
    names = [column["column"] for column in found if column["state"] == "drifting"]
    if names:
        print_line(f"\n{columns_sentence(names)}")


def columns_sentence(names: Sequence[str]) -> str:
    """One line that names the changed columns."""
    more = f" and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    listed = ", ".join(f"`{name}`" for name in names[:MOST_COLUMNS])
    return f"Columns that changed: {listed}{more}; GET /drift/columns shows how"
