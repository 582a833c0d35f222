"""`python -m tests.fuzz READER... --cases N`: fuzz readers and report the outcomes."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.readers import READERS, reader
from tests.fuzz.run import run
from tests.fuzz.target import CORPUS


def main() -> int:
    options = _options()
    warnings.simplefilter("ignore")  # numpy and Pillow warn about odd files, and all files here are odd
    if options.coverage:
        from tests.fuzz.coverage import fuzz

        fuzz(options.readers[0], options.cases, options.seed, options.out)
    failed = 0
    for name in options.readers:
        target = reader(name)
        with tqdm(total=options.cases, desc=name, unit=" cases", mininterval=1) as bar:
            found = run(target, options.cases, options.seed, options.out, bar.update)
        told = ", ".join(f"{outcome}: {count}" for outcome, count in found.outcomes.most_common())
        print(f"{name}: {found.cases} cases in {found.seconds:.0f} s, {len(found.failures)} kinds of failure ({told})")
        for kind in found.failures:
            print(f"  {kind}")
        failed += len(found.failures)
    if failed:
        print(f"The cases are in {options.out}: mend the reader, and keep them in {CORPUS.relative_to(Path.cwd())}.")
    else:
        print("Nothing was found.")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", default=READERS, help=f"of {', '.join(READERS)}; by default all")
    parser.add_argument("--cases", type=int, default=200_000, help="cases for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run; the time by default")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="where failing cases go")
    parser.add_argument("--coverage", action="store_true", help="let atheris find its way by coverage; one reader")
    options = parser.parse_args()
    unknown = [name for name in options.readers if name not in READERS]
    if unknown:
        parser.error(f"there is no reader {unknown[0]!r}; there are {', '.join(READERS)}")
    if options.coverage and len(options.readers) != 1:
        parser.error("--coverage takes one reader")
    print(f"seed {options.seed}")
    return options


if __name__ == "__main__":
    sys.exit(main())
