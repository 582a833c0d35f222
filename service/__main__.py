"""`harmgauge COMMAND`; `harmgauge --help` names them."""

from __future__ import annotations

import argparse
import os
import sys

from service import commands
from service.errors import BundleError, SettingsError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("harmgauge", description="Harmfulness scores and drift beside a classifier.")
    commands.add_to(parser)
    parsed = parser.parse_args(arguments)
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
