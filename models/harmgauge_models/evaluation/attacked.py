"""Measures a bundle's robustness against attacks on its classifier, and on classifier and detector together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from harmgauge.bundle.load import DETECTOR_FILE, Bundle
from harmgauge.bundle.rows import Array
from harmgauge_models.evaluation.attack_names import WHITE_BOX
from harmgauge_models.evaluation.attacks import ATTACKS, as_input, attack
from harmgauge_models.evaluation.measure import Graph
from harmgauge_models.evaluation.pictures import Pictures, instances
from harmgauge_models.evaluation.robustness import judge, outputs
from harmgauge_models.evaluation.whitebox import on_both
from harmgauge_models.evaluation.work import Work, sha256_of
from harmgauge_models.graphs.differentiable import Watched, open_classifier, open_watched

FORMAT = 1
"""Incremented when the meaning of stored attacked images changes."""


@dataclass(frozen=True)
class _Target:
    """The target of attacks: clean instances `x` (n, *shape) with labels `y` (n,) and values within `bounds`.

    `classifier` is that of `watched` without the second network, which makes each of its steps cheaper.
    """

    classifier: nn.Module
    watched: Watched
    x: Array
    y: npt.NDArray[np.int64]
    bounds: tuple[float, float]


def attack_table(
    bundle: Bundle, graph: Graph, pictures: Pictures, names: tuple[str, ...], work: Work, *, seed: int
) -> dict[str, Any]:
    """The results of each attack in real numbers, and `rounded` if the bundle accepts only whole numbers.

    `fooled` is the share of images that the classifier had right and now has wrong; `evaded` is the share that is also
    not flagged. `flagged` and `roc_auc` (against the same images, clean) cover only the fooled ones, and are None
    without any. `accuracy` covers all images, and so do `corrected_accuracy`, if the bundle corrects, and `estimate`,
    the bundle's estimate of the accuracy, if it has one and accepts real numbers. Shows progress. Raises UserError if
    the graph has no gradients.
    """
    spec = bundle.manifest.input
    assert spec.image is not None
    x = instances(pictures.x, spec)
    target = _Target(
        classifier=open_classifier(bundle.graph, x),
        watched=open_watched(bundle.graph, x),
        x=x,
        y=pictures.y,
        bounds=(0.0, 255 * spec.image.scale),
    )
    found: dict[str, Any] = {"rows": len(x), "by": {}}
    for name in names:
        decided_by = {
            "format": FORMAT,
            "graph": bundle.manifest.files[DETECTOR_FILE].sha256,
            "pictures": [sha256_of(pictures.x), sha256_of(pictures.y)],
            "seed": seed,
        }
        kept = work.kept(f"attacks/{name}", decided_by, lambda name=name: {"x": _attacked(target, name, seed)})  # type: ignore[misc]  # a lambda's default has no type
        found["by"][name] = _judged(bundle, target, kept["x"])
        served = as_input(kept["x"], spec.numpy_dtype, target.bounds)
        estimated = _estimated(bundle, graph, served, work, name)
        if spec.numpy_dtype.kind in "iu":
            found["by"][name]["rounded"] = _judged(bundle, target, served) | estimated
        else:
            found["by"][name] |= estimated
    return found


def _attacked(target: _Target, name: str, seed: int) -> npt.NDArray[np.float32]:
    """The attacked images, in the instances' own units."""
    way = on_both(target.watched.score, bounds=target.bounds) if name == WHITE_BOX else ATTACKS[name]()
    return attack(way, target.classifier, target.x, target.y, bounds=target.bounds, seed=seed, what=name).x


def _estimated(bundle: Bundle, graph: Graph, attacked: Array, work: Work, name: str) -> dict[str, float]:
    if bundle.error_probability is None:
        return {}
    decided_by = [FORMAT, bundle.manifest.files[DETECTOR_FILE].sha256, sha256_of(attacked)]
    kept = work.kept(f"attacks/outputs-{name}", decided_by, lambda: graph.run(attacked, features=False))
    return {"estimate": float(1 - kept["error_probability"].mean(dtype=np.float64))}


def _judged(bundle: Bundle, target: _Target, attacked: Array) -> dict[str, Any]:
    before, after = (outputs(target.classifier, rows).argmax(1) for rows in (target.x, attacked))
    right = before == target.y
    fooled = right & (after != target.y)
    flagged = outputs(target.watched.score, attacked) > bundle.threshold
    moved = (attacked.astype(np.float64) - target.x).reshape(len(attacked), -1) / (target.bounds[1] - target.bounds[0])
    whole = judge(target.watched, float(bundle.threshold), target.x, attacked, target.y)
    table: dict[str, Any] = {
        "fooled": float(fooled.sum() / right.sum()),
        "evaded": float((fooled & ~flagged).sum() / right.sum()),
        "flagged": None,
        "roc_auc": None,
        "accuracy": whole.accuracy,
    }
    if fooled.any():
        seen = judge(target.watched, float(bundle.threshold), target.x, attacked[fooled], target.y[fooled])
        table |= {
            "flagged": seen.flagged,
            "roc_auc": seen.roc_auc,
            "l2": float(np.median(np.linalg.norm(moved[fooled], axis=1))),
            "linf": float(np.median(np.abs(moved[fooled]).max(1))),
        }
    if bundle.manifest.detector == "adversarial_autoencoder":
        table["corrected_accuracy"] = whole.corrected_accuracy
    return table
