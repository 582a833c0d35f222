"""What `harmgauge` can do. Each command loads only what it needs: `--help` no ONNX Runtime, `key` no numpy."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service import settings as settings_module
from service.errors import BundleError, SettingsError
from service.observe import logs

Run = Callable[[argparse.Namespace], int]
"""Gives the exit status; raises BundleError and SettingsError."""

_Option = tuple[tuple[str, ...], dict[str, Any]]

_COMMANDS: dict[str, tuple[Run, tuple[_Option, ...]]] = {}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let the parser know every command; `run` of what it parses is the one that was named."""
    chosen = parser.add_subparsers(required=True, metavar=" | ".join(_COMMANDS))
    for name, (run, options) in _COMMANDS.items():
        added = chosen.add_parser(name, help=run.__doc__, description=run.__doc__)
        added.set_defaults(run=run)
        for names, settings in options:
            added.add_argument(*names, **settings)


def _option(*names: str, **settings: Any) -> _Option:  # noqa: ANN401 - argparse's own
    return names, settings


def _command(*options: _Option) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        _COMMANDS[run.__name__.replace("_", "-")] = run, options
        return run

    return add


@_command()
def serve(_: argparse.Namespace) -> int:
    """Serve the bundle until SIGTERM."""
    # Nothing is in flight yet. By default, a container's first process would not hear of it until the server listens.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Before numpy is loaded: by default it takes a thread for each core of the host, from inference and in memory.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    from service.server import serve as run  # `--help` need not load ONNX Runtime

    settings = settings_module.load()
    logs.configure(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings))
    except (BundleError, SettingsError) as error:
        if settings.log_format == "text":
            raise
        logging.getLogger("harmgauge").critical("%s", error)
        return 1
    return 0


@_command()
def check(_: argparse.Namespace) -> int:
    """Print the settings, verify the bundle and run it once."""
    from service.check import check as run

    return run(settings_module.load())


@_command()
def demo(_: argparse.Namespace) -> int:
    """Send real images, then corrupted ones, to a running service."""
    from service.demo import demo as run

    return run(settings_module.load())


@_command(
    _option("--rows", type=int, help="scores to record; as many as the old reference has if left out"),
    _option("--out", type=Path, help="folder for bundles; that of the bundle in service if left out"),
    _option("--version", help="version of the new bundle; the next free number if left out"),
    _option("--new-threshold", action="store_true", help="also the flag's threshold: the same percentile of these"),
)
def reference(arguments: argparse.Namespace) -> int:
    """Make a new version of the bundle, with what the running service scores now as its reference."""
    from service.reference import replace_reference

    settings = settings_module.load()
    folder = replace_reference(
        settings, arguments.rows, arguments.out, arguments.version, new_threshold=arguments.new_threshold
    )
    print(f"made the bundle {folder}")
    if settings.bundle_public_key:
        print(f"next: harmgauge sign {folder} --key FILE, for HARMGAUGE_BUNDLE_PUBLIC_KEY asks for it")
    print(f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve")
    return 0


@_command(_option("name", help="who will use it: letters, digits, dots, dashes and underscores"))
def key(arguments: argparse.Namespace) -> int:
    """Make a random key; it is shown once, with the line that lets it in."""
    from service.keys import new_key

    made, line = new_key(arguments.name)
    print(f"key   {made}\nline  {line}")
    print(
        "the key is kept nowhere: give it to who calls; next: put the line into HARMGAUGE_API_KEYS (commas between), "
        "or into the file that HARMGAUGE_API_KEYS_FILE names",
        file=sys.stderr,
    )
    return 0


@_command(
    _option("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder"),
    _option("--key", type=Path, required=True, help="file that `harmgauge signing-key` made"),
)
def sign(arguments: argparse.Namespace) -> int:
    """Verify a bundle and sign it, so that services with the public key take it."""
    from service.sign import sign_bundle

    public_key = sign_bundle(arguments.bundle, arguments.key)
    print(f"signed {arguments.bundle}")
    print(f"next: HARMGAUGE_BUNDLE_PUBLIC_KEY={public_key} HARMGAUGE_BUNDLE={arguments.bundle} harmgauge check")
    return 0


@_command(_option("file", type=Path, metavar="FILE", help="new file for the private key"))
def signing_key(arguments: argparse.Namespace) -> int:
    """Make a pair of keys: the private one in a new file, to sign bundles with; the public one is shown."""
    from service.inference.signature import new_key

    public_key = new_key(arguments.file)
    print(f"made {arguments.file}: who has it can sign, so keep it from the machines that serve")
    print(f"public key {public_key}")
    print(
        f"next: harmgauge sign BUNDLE --key {arguments.file}; HARMGAUGE_BUNDLE_PUBLIC_KEY={public_key} where it serves"
    )
    return 0


@_command(
    _option("address", nargs="?", metavar="FOLDER", help="or address; HARMGAUGE_CAPTURE_DIR if left out"),
    _option("--since", help="2026-11-21, 2026-11-21T08:30 (UTC), or 90m, 24h, 7d ago"),
    _option("--until", help="the same; not included"),
    _option("--class", dest="of_class", help="name of the predicted class"),
    _option("--min-score", type=float, help="scores from here on"),
    _option("--max-score", type=float, help="scores below this"),
    _option("--request", help="a request's id"),
    _option("--rows", type=int, help="most rows: the newest 20 in the list, the highest 200 drawn"),
    _option("--html", type=Path, help="file to draw them into, instead of a list"),
)
def captured(arguments: argparse.Namespace) -> int:
    """List the flagged inputs that HARMGAUGE_CAPTURE_DIR keeps, or draw them as a contact sheet."""
    try:
        from service.capture.reading import Wanted, moment
        from service.captured import captured as run
    except ImportError as error:
        raise SettingsError(f"captured needs Arrow ({error}): pip install 'harmgauge[capture]'") from error

    address = arguments.address or settings_module.load().capture_dir
    if address is None:
        raise SettingsError("name a folder or an address, or set HARMGAUGE_CAPTURE_DIR")
    if arguments.rows is not None and arguments.rows < 1:
        raise SettingsError(f"--rows {arguments.rows}: at least 1 is due")
    now = datetime.now(UTC)
    try:
        since, until = (None if text is None else moment(text, now) for text in (arguments.since, arguments.until))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    wanted = Wanted(since, until, arguments.of_class, arguments.min_score, arguments.max_score, arguments.request)
    return run(address, wanted, rows=arguments.rows, html=arguments.html)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # there is none for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop
