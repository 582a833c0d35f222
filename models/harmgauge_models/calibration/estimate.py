"""P(wrong) for the graphs of a bundle that exists already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.manifest import Chance, Manifest
from harmgauge_models.calibration.calibrate import calibrated
from harmgauge_models.calibration.known import Known
from harmgauge_models.calibration.reasons import why_none
from harmgauge_models.calibration.sentences import sentence
from harmgauge_models.data.columns import Layout, find_columns
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.data.disturbers import disturber_for
from harmgauge_models.data.record_disturbers import record_disturber
from harmgauge_models.data.tokenizer import Tokenizer

ROWS_KAPPA = 0.3
"""Kappa of heads for rows on disturbances that they have not seen: it was .17 to .47 on four tables."""


def why_no_estimate(manifest: Manifest) -> str | None:
    """The reason why the bundle cannot have P(wrong), from its manifest alone; None if it may."""
    return why_none(manifest.detector, _second_network(manifest))


def with_estimate(
    bundle: Bundle, known: Known, tokenizer: Tokenizer | None, seed: int, say: Callable[[str], None]
) -> tuple[bytes, Chance]:
    """The bundle's graph in its precision with P(wrong), and the fit, or why there is none.

    Raises UserError if the graph cannot run on disturbed rows.
    """
    disturber = _disturber(bundle, known, tokenizer)
    what = "the graph" if bundle.precision == "float32" else "the graph in 8 bits"
    graph, found = calibrated(bundle.graph, disturber, known, seed=seed, what=what)
    before = bundle.error_probability
    if isinstance(found, ErrorProbability):
        # A head for rows has seen these disturbances. Only `build` has networks that have not, and can measure kappa
        # with them.
        unseen = ROWS_KAPPA if _second_network(bundle.manifest).get("rows") else 0.0
        least = unseen if before is None else before.kappa
        if found.kappa < least:
            found = found.model_copy(update={"kappa": least})
            if before is None:
                say(
                    f"kappa is set to {least}, as measured on other tables: the second network was trained on these "
                    "disturbances. harmgauge build measures it"
                )
    say(f"{bundle.precision}: {sentence(found)}")
    return graph, found


def _second_network(manifest: Manifest) -> Mapping[str, Any]:
    """The manifest's record of how the second network was made, which may contain anything."""
    return _mapping(manifest.made.get("second_network"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _disturber(bundle: Bundle, known: Known, tokenizer: Tokenizer | None) -> ByKind:
    manifest, x = bundle.manifest, known.x
    if manifest.is_named:
        return record_disturber(bundle.graph, "probabilities", x, manifest.inputs, tokenizer)
    stated = _mapping(_second_network(manifest).get("rows")).get("layout")
    layout = next((layout for layout in get_args(Layout) if layout == stated), None)
    return disturber_for(bundle.graph, "probabilities", manifest.input, x, find_columns(x, layout))
