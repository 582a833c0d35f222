"""The real service with a trial of new bundles that ends after 3 s of CPU instead of 20: for bundles that compute for
ever. `python -m tests.support.strict_trial serve`.
"""

from __future__ import annotations

import sys

from harmgauge.cli.main import main
from harmgauge.inference import isolated_probe

if __name__ == "__main__":
    isolated_probe.CPU_SECONDS = 3
    sys.exit(main())
