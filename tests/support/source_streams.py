"""Traffic of many sources: scores, P(wrong) and requests, some sources with a share of harmful rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from harmgauge.drift.sources.sources import Sources
from harmgauge.drift.sources.view import SourceState
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name
from tests.support.harm_streams import BASE, BOUND, chances

Float64 = npt.NDArray[np.float64]

REFERENCE_ROWS = 5000
HARMFUL_MEAN = 0.64
"""Mean P(wrong) of harmful rows: the shipped bundle's on gaussian_noise_3."""

START = datetime(2026, 1, 1, tzinfo=UTC)


def monitored(
    between: int = 10**6,
    *,
    tolerance: float = 0.01,
    with_harm: bool = False,
    most: int = 1000,
    interval_seconds: float = 0.0,
    seed: int = 0,
) -> Sources:
    """Sources with the scores of `docs/drift.md` as their reference; with `with_harm`, also watched for harm."""
    reference = np.sort(clean_scores(np.random.default_rng(10_000 + seed), REFERENCE_ROWS))
    return Sources(
        reference,
        between,
        tolerance,
        BOUND if with_harm else None,
        most=most,
        interval_seconds=interval_seconds,
        now=lambda: START,
        clock=lambda: 0.0,
        seed=seed,
    )


def clean_scores(random: np.random.Generator, rows: int) -> Float64:
    return np.exp(random.normal(-6, 2, rows))


def harmful_scores(random: np.random.Generator, rows: int) -> Float64:
    return np.exp(random.normal(-0.5, 1, rows))


def names(count: int, key: str = "") -> tuple[Name, ...]:
    return tuple((key, f"camera-{number}") for number in range(count))


@dataclass
class Traffic:
    """Requests of up to `largest` rows from each of `sources`. `offsets` (sources,) shift the logarithm of their
    scores; `with_p` adds P(wrong).
    """

    sources: tuple[Name, ...]
    seed: int = 0
    largest: int = 1
    offsets: Float64 | None = None
    with_p: bool = False
    harmful: Float64 = field(init=False)
    """Share of each source's rows that is harmful."""

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self.harmful = np.zeros(len(self.sources))

    def requests(self, each: int = 1) -> Blocks:
        """The next `each` requests of every source, the sources taking turns."""
        random, count = self._random, len(self.sources) * each
        sizes = random.integers(1, self.largest + 1, count)
        of = np.repeat(np.tile(np.arange(len(self.sources)), each), sizes)
        rows = len(of)
        is_harmful = random.random(rows) < self.harmful[of]
        scores = np.where(is_harmful, harmful_scores(random, rows), clean_scores(random, rows))
        if self.offsets is not None:
            scores *= np.exp(self.offsets[of])
        p = None
        if self.with_p:
            p = np.where(is_harmful, chances(random, rows, HARMFUL_MEAN), chances(random, rows, BASE))
        return Blocks(
            scores,
            sizes.astype(np.intp),
            (None,) * count,
            times=np.zeros(count),
            error_probability=None if p is None else p.astype(np.float32),
            sources=self.sources * each,
        )


BROKEN = 10
"""Sources that break, the first ones."""

MOST_REQUESTS = 400


@dataclass(frozen=True)
class Delay:
    """Own rows and own requests of the broken sources until each was named (infinite if it was not), (BROKEN,), and the
    number of wrong names.
    """

    rows: Float64
    requests: Float64
    wrong_names: int


def delay(seed: int, *, with_harm: bool, settles: bool, largest: int = 1, sources: int = 1000) -> Delay:
    """BROKEN of the sources become 30 % harmful: after their baselines are complete if `settles`, otherwise from their
    first row on.
    """
    found = monitored(with_harm=with_harm, most=sources, seed=seed)
    traffic = Traffic(names(sources), seed=seed, largest=largest, with_p=with_harm)
    if settles:
        found.observe(traffic.requests(each=500 if largest == 1 else 50))
        while not found.view().is_settled.all():
            found.observe(traffic.requests(each=10))
    before = found.view().rows[:BROKEN] if settles else np.zeros(BROKEN)
    traffic.harmful[:BROKEN] = 0.3
    rows, requests = np.full(BROKEN, np.inf), np.full(BROKEN, np.inf)
    view = found.view()
    for number in range(1, MOST_REQUESTS + 1):
        found.observe(traffic.requests())
        view = found.view()
        new = view.is_named[:BROKEN] & np.isinf(rows)
        rows[new], requests[new] = (view.rows[:BROKEN] - before)[new], number
        if np.isfinite(rows).all():
            break
    return Delay(rows, requests, int(view.is_named[BROKEN:].sum()))


def clean_peaks(seed: int, rows: int, *, largest: int = 20, sources: int = 1000) -> npt.NDArray[np.float32]:
    """The highest evidence of each source in clean traffic of at least this many rows, (sources,): those at or above c
    would have been named, whatever c is.
    """
    found = monitored(with_harm=True, most=sources, seed=seed)
    traffic = Traffic(names(sources), seed=seed, largest=largest, with_p=True)
    for _ in range(-(-2 * rows // (20 * sources * (largest + 1)))):
        found.observe(traffic.requests(each=20))
    peaks: npt.NDArray[np.float32] = found.dump()["highest"]
    return peaks


def names_of_offsets(seed: int, own_rows: int = 1000, *, spread: float = 0.2, sources: int = 500) -> int:
    """The number of names among sources that differ for ever from the reference, by offsets of `spread` standard
    deviations of the logarithm of their scores.
    """
    found = monitored(most=sources, seed=seed)
    offsets = np.random.default_rng(seed).normal(0, 2 * spread, sources)
    traffic = Traffic(names(sources), seed=seed, offsets=offsets)
    for _ in range(own_rows // 100 + 5):  # the baseline's rows, and then these
        found.observe(traffic.requests(each=100))
    return found.view().drifting


def states(of: Sources) -> dict[str, SourceState]:
    """The states of all sources by name, drifting ones first."""
    view = of.view()
    return {state.source: state for state in view.states(view.select())}
