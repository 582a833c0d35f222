"""How soon the one corrupted source of ten is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.load import Bundle
from harmgauge.drift.harm_bound import bound_of
from harmgauge.drift.sources import baseline
from harmgauge.drift.sources.sources import Sources
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name
from harmgauge.settings import Settings
from harmgauge_models.evaluation.cause_trials import Trials
from harmgauge_models.evaluation.measure import CLEAN, Copy, Measured
from harmgauge_models.evaluation.plan import ROWS_BETWEEN_FALSE_ALARMS
from harmgauge_models.evaluation.work import sha256_of

SOURCES = 10
"""Sources with equal shares of the traffic; the first one breaks."""

STEP_ROWS = 5
"""Rows of each source between two evaluations."""

_NAMES: tuple[Name, ...] = tuple(("", f"source-{number}") for number in range(SOURCES))


def broken_source_table(trials: Trials, measured: Mapping[Copy, Measured], severity: int) -> dict[str, Any]:
    """For each kind of corruption at this severity, the own rows until the source is named."""
    bundle, clean = trials.bundle, _Traffic(measured[CLEAN])
    kinds = {kind: each for (kind, level), each in measured.items() if level == severity and (kind, level) != CLEAN}
    settled: dict[int, dict[str, npt.NDArray[Any]]] = {}
    found = {}
    for kind, each in tqdm(kinds.items(), desc="one source of ten"):
        strange = _Traffic(each)
        decided_by = {
            "reference": bundle.manifest.files[bundle.manifest.reference_file].sha256,
            "bound": _bound(bundle),
            "rows": [clean.sha256, strange.sha256],
        }

        def run(seed: int, strange: _Traffic = strange) -> tuple[int, bool, int]:
            if seed not in settled:
                settled[seed] = _settled(bundle, clean, seed)
            sources = _monitor(bundle, seed)
            sources.restore(settled[seed])
            return _until_named(sources, clean, strange, trials.most_rows, np.random.default_rng((seed, 1)))

        found[kind] = trials.table(f"source-{kind}", decided_by, "by_harm", run)
    return {"sources": SOURCES, "baseline_rows": baseline.ROWS, "by_kind": found}


class _Traffic:
    """Rows to draw from, as the monitor of sources sees them."""

    def __init__(self, measured: Measured) -> None:
        self.scores = measured.scores["score"]
        self.error_probability = measured.error_probability
        errors = None if self.error_probability is None else sha256_of(self.error_probability)
        self.sha256 = [sha256_of(self.scores), errors]


def _bound(bundle: Bundle) -> float | None:
    return None if bundle.error_probability is None else bound_of(bundle.error_probability, Settings())


def _monitor(bundle: Bundle, seed: int) -> Sources:
    tolerance, bound = Settings().tolerance, _bound(bundle)
    return Sources(bundle.reference.scores, ROWS_BETWEEN_FALSE_ALARMS, tolerance, bound, most=SOURCES, seed=seed)


def _settled(bundle: Bundle, clean: _Traffic, seed: int) -> dict[str, npt.NDArray[Any]]:
    """The saved state of SOURCES sources with complete baselines."""
    sources, random = _monitor(bundle, seed), np.random.default_rng(seed)
    for _ in range(baseline.ROWS // STEP_ROWS):
        sources.observe(_requests(clean, clean, random))
    return sources.dump()


def _until_named(
    sources: Sources, clean: _Traffic, strange: _Traffic, most_rows: int, random: np.random.Generator
) -> tuple[int, bool, int]:
    """Own rows of the broken source until it is named, whether mainly by harm, and the number of other names."""
    rows, view = 0, sources.view()
    broken = view.names.index(_NAMES[0])
    while rows < most_rows and not view.is_named[broken]:
        sources.observe(_requests(clean, strange, random))
        rows += STEP_ROWS
        view = sources.view()
    return rows, bool(view.by_harm[broken]), view.drifting - bool(view.is_named[broken])


def _requests(clean: _Traffic, strange: _Traffic, random: np.random.Generator) -> Blocks:
    """STEP_ROWS requests of one row from each source in turn; those of the first source are `strange`."""
    count = SOURCES * STEP_ROWS
    drawn = random.integers(0, len(clean.scores), count)
    own = random.integers(0, len(strange.scores), STEP_ROWS)

    def mixed(usual: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = usual[drawn]
        found[::SOURCES] = other[own]
        return found

    errors = None
    if clean.error_probability is not None and strange.error_probability is not None:
        errors = mixed(clean.error_probability, strange.error_probability)
    return Blocks(
        scores=mixed(clean.scores, strange.scores),
        rows=np.ones(count, np.intp),
        clients=(None,) * count,
        error_probability=errors,
        sources=_NAMES * STEP_ROWS,
    )
