"""`harmgauge serve | check | demo`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable

from service import settings as settings_module
from service.errors import BundleError, SettingsError
from service.observe import logs


def serve() -> int:
    """Serve the bundle until SIGTERM."""
    # Before numpy is loaded: by default it takes a thread for each core of the host, from inference and in memory.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    from service.server import serve as run  # `--help` need not load ONNX Runtime

    settings = settings_module.load()
    logs.configure(settings.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run(settings))
    return 0


def check() -> int:
    """Print the settings, verify the bundle and run it once."""
    from service.check import check as run

    return run(settings_module.load())


def demo() -> int:
    """Send real images, then corrupted ones, to a running service."""
    from service.demo import demo as run

    return run(settings_module.load())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # there is none for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


def main(arguments: list[str] | None = None) -> int:
    commands = {"serve": serve, "check": check, "demo": demo}
    parser = argparse.ArgumentParser("harmgauge", description="Harmfulness scores and drift beside a classifier.")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="serve | check | demo")
    for name, command in commands.items():
        chosen.add_parser(name, help=command.__doc__, description=command.__doc__)
    try:
        return commands[parser.parse_args(arguments).command]()
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


if __name__ == "__main__":
    sys.exit(main())
