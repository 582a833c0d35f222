"""`harmgauge`, and `python -m harmgauge`."""

from __future__ import annotations

import sys

from harmgauge.cli.sigterm import end_on_sigterm


def main() -> int:
    """Run the command given by the process's arguments; returns its exit status."""
    end_on_sigterm(sys.argv[1:])
    from harmgauge.cli.main import main as run  # slow to import

    return run()


if __name__ == "__main__":
    sys.exit(main())
