"""`harmgauge`, and `python -m harmgauge`."""

from __future__ import annotations

import sys

from harmgauge.cli.sigterm import end_on_sigterm


def main() -> int:
    """Run the command of the process's own words; returns its exit status."""
    end_on_sigterm(sys.argv[1:])
    from harmgauge.cli.main import main as run  # it takes its time

    return run()


if __name__ == "__main__":
    sys.exit(main())
