"""`harmgauge COMMAND`: finds the command by its name and loads only what that command needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

from harmgauge.cli.command import Command

_SERVICE = "harmgauge.cli.commands"
_OFFLINE = "harmgauge_models.cli"
"""The only place where the service refers to the other half of the package, which may need PyTorch."""

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Serve a bundle": {
        "serve": (_SERVICE, "serve a bundle until SIGTERM"),
        "check": (_SERVICE, "print the settings, verify the bundle and run it once"),
        "demo": (_SERVICE, "send clean images, then corrupted ones, to a service"),
        "captured": (_SERVICE, "list or draw captured inputs"),
    },
    "Make and judge bundles": {
        "train": (_OFFLINE, "train ResNet-32 on CIFAR-10"),
        "build": (_OFFLINE, "make a bundle from any ONNX classifier"),
        "calibrate": (_OFFLINE, "add an accuracy estimate and columns to a bundle, without training"),
        "evaluate": (_OFFLINE, "judge a bundle on corrupted rows, over time, and on attacks"),
        "reference": (_SERVICE, "make a new version of a bundle from current traffic"),
    },
    "Keys": {
        "key": (_SERVICE, "make an API key"),
        "signing-key": (_SERVICE, "make a key pair for signing bundles"),
        "sign": (_SERVICE, "verify a bundle and sign it"),
    },
}
_MATRIX_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Limit the threads of NumPy's matrix products. More than one would spin on the inference's cores whenever a drift test
runs: a quarter of all CPU time was measured, for a test that may take 1 % of a core.
"""

COMMANDS = {name: found for group in GROUPS.values() for name, found in group.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help"}:
        print(_help(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        print(f"harmgauge {version('harmgauge')}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`harmgauge --help` lists the commands"
        print(f"harmgauge: unknown command {name!r}; {hint}", file=sys.stderr)
        return 2
    if name == "serve":
        for variable in _MATRIX_THREADS:  # before NumPy is imported
            os.environ.setdefault(variable, "1")
    module, summary = COMMANDS[name]
    command: Command = import_module(module).COMMANDS[name]
    parser = argparse.ArgumentParser(f"harmgauge {name}", description=f"{summary[0].upper()}{summary[1:]}.")
    command.add_arguments(parser)
    return _run(command, parser.parse_args(words[1:]), words)


def _run(command: Command, parsed: argparse.Namespace, words: list[str]) -> int:
    from harmgauge.errors import BundleError, SettingsError

    try:
        status = command.run(parsed, words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        # or Python reports an error when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell reports a command that SIGPIPE ended
    except (BundleError, SettingsError) as error:
        print(f"harmgauge: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        print("harmgauge: ONNX Runtime is not installed: pip install 'harmgauge[cpu]', or [gpu]", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: harmgauge COMMAND [OPTIONS]",
        "",
        "Harmfulness scores, accuracy estimates and drift alarms alongside a classifier, without labels.",
        "",
    ]
    for title, commands in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<{width}}  {summary}" for name, (_, summary) in commands.items()), ""]
    lines += ["harmgauge COMMAND --help lists the options of a command; harmgauge --version prints the version."]
    return "\n".join(lines)
