"""P(wrong) as an additional output of a graph that `build` has made."""

from __future__ import annotations

from harmgauge.bundle.manifest import Chance
from harmgauge_models.building.opening import Opened
from harmgauge_models.building.score import Score
from harmgauge_models.calibration.calibrate import calibrated
from harmgauge_models.calibration.known import Known
from harmgauge_models.calibration.reasons import why_none
from harmgauge_models.options import Options


def fitted(options: Options, score: Score, opened: Opened, graph: bytes, what: str) -> tuple[bytes, Chance]:
    """Add P(wrong) to the `graph` of `score`, in either precision; if that is impossible, returns it unchanged with the
    reason.

    Raises UserError if the graph cannot run on disturbed calibration rows.
    """
    second, rows = score.second, opened.calibration
    if (reason := why_none(second.detector, second.made)) is not None:
        return graph, reason
    known = Known(rows.x, rows.y, options.accuracy)
    unseen = None if second.left_out is None else second.left_out()
    return calibrated(graph, score.disturber, known, unseen, seed=options.seed, what=what)
