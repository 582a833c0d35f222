"""`python -m tests.bench.fleet_harm CIFAR10`: how soon the alarm on harm of a fleet comes, and how rarely it is false.

CIFAR10 is the folder of the data set. Without it, error probabilities are drawn from beta distributions only.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession
from tqdm import tqdm

from harmgauge.bundle.load import DETECTOR_FILE, load
from harmgauge.drift import harm_evidence
from harmgauge.settings import shipped_bundle
from harmgauge_models.data import cifar10
from harmgauge_models.data.corruptions.catalogue import corrupt
from tests.bench.fleet import table

RUNS = int(os.environ.get("RUNS", "300"))
OUT = Path(os.environ.get("OUT", "docs/measurements/benchmarks"))
ASKED = 100_000
DROP = 0.02
REPLICAS = 8
BASE, SD = 0.067, 0.157
"""Mean and standard deviation of P on clean rows, for the shipped bundle."""

FALLS = (0.03, 0.055, 0.1, 0.2)
LOOK_ROWS = (10, 100, 1000)
"""Rows of the fleet between two evaluations of its rules."""

CLEAN_ROWS = 2000
MOST_ROWS = 40_000
MEASURED = {"contrast_2": ("contrast", 2), "frost_1": ("frost", 1), "gaussian_noise_1": ("gaussian_noise", 1)}
"""Corruptions of images that cost .05 to .2 in accuracy."""

NULL_ROWS = 20_000

Numbers = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Numbers]


def beta(mean: float) -> Draw:
    """Error probabilities with this mean, with a spread like that of the shipped bundle."""
    total = BASE * (1 - BASE) / SD**2 - 1
    return lambda random, rows: random.beta(mean * total, (1 - mean) * total, rows)


def measured(folder: Path) -> dict[str, Numbers]:
    """Error probabilities of the default bundle for the second half of the test images, clean and corrupted."""
    bundle = load(shipped_bundle())
    images = cifar10.load_test(folder).x
    images = images[len(images) // 2 :]
    session = InferenceSession(bundle.path / DETECTOR_FILE)
    found = {}
    for name, (kind, severity) in ({"clean": ("", 0)} | MEASURED).items():
        rows = corrupt(kind, images, severity, seed=0) if severity else images
        parts = [session.run(["error_probability"], {"input": part})[0] for part in np.array_split(rows, 50)]
        found[name] = np.concatenate(parts).astype(float)
    return found


def pooled_rows_to_alarm(probabilities: Numbers, bound: float, asked: float, look_rows: int) -> float:
    """Rows until the rule's alarm, if the rule is evaluated after every `look_rows` rows; infinite without an alarm.

    The distribution of the rows (n,) over replicas makes no difference, because the sum of their logarithms is the
    same.
    """
    logs = np.log(harm_evidence.factors(probabilities, bound)).cumsum(0)[look_rows - 1 :: look_rows]
    wealth = np.zeros(logs.shape[1])
    for look, gained in enumerate(np.exp(np.minimum(np.diff(logs, axis=0, prepend=0), 700)), 1):
        wealth = np.minimum(wealth * gained + look_rows, harm_evidence.MOST)
        if wealth.mean() >= asked:
            return float(look * look_rows)
    return math.inf


def cusum_rows_to_alarm(probabilities: Numbers, bound: float, asked: float) -> float:
    """Rows until the largest CUSUM of the stakes reaches ln(stakes x `asked`); infinite if none does."""
    logs = np.log(harm_evidence.factors(probabilities, bound)).cumsum(0)
    lowest = np.minimum.accumulate(np.concatenate([np.zeros((1, logs.shape[1])), logs[:-1]]))
    alarms = np.flatnonzero((logs - lowest).max(1) >= math.log(logs.shape[1] * asked))
    return float(alarms[0] + 1) if len(alarms) else math.inf


def evidence_rows_to_alarm(probabilities: Numbers, bound: float, asked: float, replicas: int) -> float:
    """Rows of the whole fleet until the sum of the evidence of replicas that take turns reaches `asked`; infinite if it
    never does.
    """
    own = probabilities[: len(probabilities) // replicas * replicas].reshape(-1, replicas)
    one, at_once = np.ones(len(own), np.intp), harm_evidence.blocks_at_once(bound)
    wealth = np.zeros(len(harm_evidence.STAKES))
    found = [harm_evidence.bet(wealth, harm_evidence.factors(column, bound), one, at_once)[1] for column in own.T]
    alarms = np.flatnonzero(np.sum(found, 0) >= asked)
    return float((alarms[0] + 1) * replicas) if len(alarms) else math.inf


def drawn(chances: Numbers) -> Draw:
    """Draws from these error probabilities uniformly, with replacement."""
    return lambda random, rows: random.choice(chances, rows)


def delays(clean: Draw, draw: Draw, bound: float) -> dict[str, Numbers]:
    """Rows of the fleet until each alarm, (RUNS,), by its name, counted after CLEAN_ROWS clean rows."""
    found: dict[str, list[float]] = {}
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        rows = np.concatenate([clean(random, CLEAN_ROWS), draw(random, MOST_ROWS)])
        alarms = {f"the rule, a look each {look}": pooled_rows_to_alarm(rows, bound, ASKED, look) for look in LOOK_ROWS}
        alarms |= {"CUSUM, each row": cusum_rows_to_alarm(rows, bound, ASKED)}
        alarms |= {
            f"sum of evidence, replicas: {replicas}": evidence_rows_to_alarm(rows, bound, ASKED, replicas)
            for replicas in (1, REPLICAS)
        }
        for name, at in alarms.items():
            found.setdefault(name, []).append(min(at - CLEAN_ROWS, MOST_ROWS))
    return {name: np.array(rows) for name, rows in found.items()}


def false_alarms(draw: Draw, bound: float) -> list[str]:
    """Shares of streams of NULL_ROWS rows with an alarm: by the rule at each of LOOK_ROWS, and by CUSUM."""
    streams = [draw(np.random.default_rng(seed), NULL_ROWS) for seed in range(10_000, 10_000 + RUNS)]
    found = [[pooled_rows_to_alarm(rows, bound, ASKED, look) for rows in streams] for look in LOOK_ROWS]
    found.append([cusum_rows_to_alarm(rows, bound, ASKED) for rows in streams])
    return [f"{np.mean(np.isfinite(alarms)):.3f}" for alarms in found]


def cells(found: dict[str, Numbers]) -> list[str]:
    return [f"{rows.mean():.0f}; {np.median(rows):.0f}" for rows in found.values()]


def main(arguments: Sequence[str]) -> int:
    """Measure and write the results."""
    images, lines = 0, list[list[str]]()
    looks = [f"the rule, a look each {look}" for look in LOOK_ROWS]
    for fall in tqdm(FALLS, desc="falls"):
        found = delays(beta(BASE), beta(BASE + fall), BASE + DROP)
        lines.append([f"{fall:.3f}, beta", *cells(found)])
    edges = [["beta, at the very edge of the null", *false_alarms(beta(BASE), BASE)]]
    edges.append([f"beta, {DROP} below the edge", *false_alarms(beta(BASE), BASE + DROP)])
    if arguments:
        chances = measured(Path(arguments[0]))
        clean = chances.pop("clean")
        images = len(clean)
        for name, own in tqdm(chances.items(), desc="measured"):
            found = delays(drawn(clean), drawn(own), clean.mean() + DROP)
            lines.append([f"{own.mean() - clean.mean():.3f}, {name}", *cells(found)])
        edges.append(["clean images, at the very edge of the null", *false_alarms(drawn(clean), clean.mean())])
        edges.append([f"clean images, {DROP} below the edge", *false_alarms(drawn(clean), clean.mean() + DROP)])
    path = OUT / f"{datetime.now(UTC):%Y-%m-%d}-fleet-harm.md"
    sections = [
        f"# Harm, seen by a fleet, {datetime.now(UTC):%Y-%m-%d}",
        f"`python -m tests.bench.fleet_harm CIFAR10`, {RUNS} streams of requests of one row; {ASKED} rows between\n"
        f"false alarms. Error probabilities are drawn from a beta distribution (on clean rows with mean {BASE} and\n"
        f"standard deviation {SD}), or from those that the default bundle gives to {images} test images, clean and\n"
        "corrupted.",
        f"## Rows of the whole fleet until the alarm: mean; median\n\nFrom a fall of the estimate of accuracy on, "
        f"after {CLEAN_ROWS} clean rows; {DROP} is tolerated. Cut off at {MOST_ROWS}.",
        table(["the estimate falls by", *found], lines),
        f"## False alarms\n\nShare of streams of {NULL_ROWS} rows with an alarm; {NULL_ROWS / ASKED:.2f} were asked "
        "for, at most.",
        table(["traffic", *looks, "CUSUM, each row"], edges),
    ]
    path.write_text("\n\n".join(sections) + "\n")
    sys.stdout.write(path.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
