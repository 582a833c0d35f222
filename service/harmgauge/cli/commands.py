"""The service's commands. Each loads only what it needs, and its settings before anything heavy."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from harmgauge import settings as settings_module
from harmgauge.cli.command import Command
from harmgauge.errors import BundleError, SettingsError
from harmgauge.observe import logs


def _no_options(_: argparse.ArgumentParser) -> None:
    pass


def _serve(_: argparse.Namespace, __: list[str]) -> int:
    # Before NumPy is loaded: by default it starts a thread per core of the host, at the cost of inference and memory.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    settings = settings_module.load()
    gc.disable()  # imports leave no garbage, and collecting took a tenth of the start-up; `serve` enables it again
    from harmgauge.server.process import serve

    logs.configure(settings.log_level, settings.log_format)
    try:
        serve(settings)
    except (BundleError, SettingsError) as error:
        if settings.log_format == "text":
            raise
        logging.getLogger("harmgauge").critical("%s", error)
        return 1
    return 0


def _check(_: argparse.Namespace, __: list[str]) -> int:
    settings = settings_module.load()
    from harmgauge.cli.check import check

    return check(settings)


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serve", action="store_true", help="start a service on a free port for the demo, and stop it afterwards"
    )


def _demo(arguments: argparse.Namespace, _: list[str]) -> int:
    settings = settings_module.load()
    from harmgauge.cli.demo import demo, demo_with_service

    return demo_with_service(settings) if arguments.serve else demo(settings)


def _reference_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    count = parser.add_mutually_exclusive_group()
    count.add_argument(
        "--rows", type=int, help="number of scores to record (default: as many as the old reference has)"
    )
    count.add_argument(
        "--more",
        type=int,
        metavar="ROWS",
        help="record this many scores and add them to the old reference; confirm first that this traffic is normal",
    )
    add("--out", type=Path, help="folder for bundles (default: that of the bundle in service)")
    add("--version", help="version of the new bundle (default: the next free number)")
    add(
        "--new-threshold", action="store_true", help="also set the flag's threshold to its percentile of the new scores"
    )


def _reference(arguments: argparse.Namespace, _: list[str]) -> int:
    settings = settings_module.load()
    from harmgauge.cli.record_reference import replace_reference

    folder = replace_reference(
        settings,
        arguments.rows if arguments.more is None else arguments.more,
        arguments.out,
        arguments.version,
        adds=arguments.more is not None,
        new_threshold=arguments.new_threshold,
    )
    print(f"made the bundle {folder}")
    if settings.bundle_public_key:
        print(f"next: harmgauge sign {folder} --key FILE, because HARMGAUGE_BUNDLE_PUBLIC_KEY is set")
    print(f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve")
    return 0


def _key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the key's user: letters, digits, dots, dashes and underscores")


def _key(arguments: argparse.Namespace, _: list[str]) -> int:
    from harmgauge.auth.keys import new_key

    made, line = new_key(arguments.name)
    print(f"key   {made}\nline  {line}")
    print(
        "the key is not stored anywhere: give it to its user; next: add the line to HARMGAUGE_API_KEYS, separated by "
        "a comma, or to the file that HARMGAUGE_API_KEYS_FILE names",
        file=sys.stderr,
    )
    return 0


def _sign_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--key", type=Path, required=True, help="private key, as made by `harmgauge signing-key`")


def _sign(arguments: argparse.Namespace, _: list[str]) -> int:
    from harmgauge.cli.sign import sign_bundle

    public_key = sign_bundle(arguments.bundle, arguments.key)
    print(f"signed {arguments.bundle}")
    print(f"next: HARMGAUGE_BUNDLE_PUBLIC_KEY={public_key} HARMGAUGE_BUNDLE={arguments.bundle} harmgauge check")
    return 0


def _signing_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="new file for the private key")


def _signing_key(arguments: argparse.Namespace, _: list[str]) -> int:
    from harmgauge.bundle.signature import new_key

    public_key = new_key(arguments.file)
    print(f"made {arguments.file}: anyone who has it can sign, so keep it off the machines that serve")
    print(f"public key {public_key}")
    print(
        f"next: harmgauge sign BUNDLE --key {arguments.file}; then start the service with "
        f"HARMGAUGE_BUNDLE_PUBLIC_KEY={public_key}"
    )
    return 0


def _captured_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("address", nargs="?", metavar="FOLDER", help="folder or address (default: HARMGAUGE_CAPTURE_DIR)")
    add("--since", help="earliest time: 2026-11-21, 2026-11-21T08:30 (UTC), or 90m, 24h, 7d ago")
    add("--until", help="latest time, not included; same formats")
    add("--class", dest="of_class", help="only inputs with this predicted class")
    add("--min-score", type=float, help="only scores at or above this")
    add("--max-score", type=float, help="only scores below this")
    add("--request", help="only the request with this id")
    add("--rows", type=int, help="most rows to show (default: the newest 20 in the list, the highest 200 with --html)")
    add("--html", type=Path, help="draw the inputs into this file instead of listing them")


def _captured(arguments: argparse.Namespace, _: list[str]) -> int:
    try:
        from harmgauge.capture.reading import Wanted, moment
        from harmgauge.cli.captured import captured
    except ImportError as error:
        raise SettingsError(f"captured requires Arrow ({error}): pip install 'harmgauge[capture]'") from error

    address = arguments.address or settings_module.load().capture_dir
    if address is None:
        raise SettingsError("give a folder or an address, or set HARMGAUGE_CAPTURE_DIR")
    if arguments.rows is not None and arguments.rows < 1:
        raise SettingsError(f"--rows {arguments.rows}: expected at least 1")
    now = datetime.now(UTC)
    try:
        since, until = (None if text is None else moment(text, now) for text in (arguments.since, arguments.until))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    wanted = Wanted(since, until, arguments.of_class, arguments.min_score, arguments.max_score, arguments.request)
    return captured(address, wanted, rows=arguments.rows, html=arguments.html)


COMMANDS = {
    "serve": Command(_no_options, _serve),
    "check": Command(_no_options, _check),
    "demo": Command(_demo_options, _demo),
    "captured": Command(_captured_options, _captured),
    "reference": Command(_reference_options, _reference),
    "key": Command(_key_options, _key),
    "sign": Command(_sign_options, _sign),
    "signing-key": Command(_signing_key_options, _signing_key),
}
