"""`harmgauge serve | check | demo | reference | key | captured | sign | signing-key`."""

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

from service import settings as settings_module
from service.errors import BundleError, SettingsError
from service.observe import logs


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


def check(_: argparse.Namespace) -> int:
    """Print the settings, verify the bundle and run it once."""
    from service.check import check as run

    return run(settings_module.load())


def demo(_: argparse.Namespace) -> int:
    """Send real images, then corrupted ones, to a running service."""
    from service.demo import demo as run

    return run(settings_module.load())


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


def sign(arguments: argparse.Namespace) -> int:
    """Verify a bundle and sign it, so that services with the public key take it."""
    from service.sign import sign_bundle

    public_key = sign_bundle(arguments.bundle, arguments.key)
    print(f"signed {arguments.bundle}")
    print(f"next: HARMGAUGE_BUNDLE_PUBLIC_KEY={public_key} HARMGAUGE_BUNDLE={arguments.bundle} harmgauge check")
    return 0


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("harmgauge", description="Harmfulness scores and drift beside a classifier.")
    chosen = parser.add_subparsers(
        required=True, metavar="serve | check | demo | reference | key | captured | sign | signing-key"
    )
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "serve": serve,
        "check": check,
        "demo": demo,
        "reference": reference,
        "key": key,
        "sign": sign,
        "signing-key": signing_key,
        "captured": captured,
    }
    for name, command in commands.items():
        added = chosen.add_parser(name, help=command.__doc__, description=command.__doc__)
        added.set_defaults(run=command)
        if command is key:
            added.add_argument("name", help="who will use it: letters, digits, dots, dashes and underscores")
        if command is sign:
            added.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
            added.add_argument("--key", type=Path, required=True, help="file that `harmgauge signing-key` made")
        if command is signing_key:
            added.add_argument("file", type=Path, metavar="FILE", help="new file for the private key")
        if command is captured:
            added.add_argument(
                "address", nargs="?", metavar="FOLDER", help="or address; HARMGAUGE_CAPTURE_DIR if left out"
            )
            added.add_argument("--since", help="2026-11-21, 2026-11-21T08:30 (UTC), or 90m, 24h, 7d ago")
            added.add_argument("--until", help="the same; not included")
            added.add_argument("--class", dest="of_class", help="name of the predicted class")
            added.add_argument("--min-score", type=float, help="scores from here on")
            added.add_argument("--max-score", type=float, help="scores below this")
            added.add_argument("--request", help="a request's id")
            added.add_argument("--rows", type=int, help="most rows: the newest 20 in the list, the highest 200 drawn")
            added.add_argument("--html", type=Path, help="file to draw them into, instead of a list")
        if command is reference:
            added.add_argument(
                "--rows", type=int, help="scores to record; as many as the old reference has if left out"
            )
            added.add_argument("--out", type=Path, help="folder for bundles; that of the bundle in service if left out")
            added.add_argument("--version", help="version of the new bundle; the next free number if left out")
            added.add_argument(
                "--new-threshold", action="store_true", help="also the flag's threshold: the same percentile of these"
            )
    return parser


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    # Official builds of ONNX Runtime report their use to Microsoft unless they are told not to, before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at its end
        return 141  # it did not come to its end; a shell says so of others, which SIGPIPE ends
    except (BundleError, SettingsError) as error:
        print(f"harmgauge: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        print("harmgauge: ONNX Runtime is missing: pip install 'harmgauge[cpu]', or [gpu]", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
