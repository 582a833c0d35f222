"""`harmgauge`, and `python -m harmgauge`."""

from __future__ import annotations

import sys

from harmgauge.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
