"""`python -m tests.bench.drift [PART ...]`: the simulations and timings behind the tables of `docs/drift.md`.

Without parts, all of them. Writes a dated file in `docs/measurements/benchmarks`, or in OUT. STREAMS sets the number of
streams.
"""

from __future__ import annotations

import argparse
import sys

from tests.bench.drift import columns, costs, delays, false_alarms, harm, pictures, predictions, small, sources
from tests.bench.drift.plan import DATE, OUT

PARTS = {
    "costs": ("Costs", costs.section),
    "delays": ("Delays", delays.section),
    "false_alarms": ("False alarms", false_alarms.section),
    "small": ("Small references and slow drift", small.section),
    "predictions": ("What can be detected", predictions.section),
    "harm": ("Harm", harm.section),
    "sources": ("Sources", sources.section),
    "columns": ("Columns", columns.section),
    "pictures": ("Measures of pictures", pictures.section),
}


def main() -> int:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    command = " ".join(["python -m tests.bench.drift", *(parts if len(parts) < len(PARTS) else [])])
    path = OUT / f"{DATE}-{'-'.join(['drift', *(parts if len(parts) < len(PARTS) else [])])}.md"
    text = f"# Drift detectors, {DATE}\n\n`{command}`\n"
    for part in parts:
        title, section = PARTS[part]
        text += f"\n## {title}\n\n{section()}\n"
        path.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
