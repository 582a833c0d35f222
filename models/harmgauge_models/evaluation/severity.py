"""Scores of harmful and harmless rows by severity, with the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge_models.evaluation.delays import Group
from harmgauge_models.evaluation.labels import Labels
from harmgauge_models.evaluation.measure import CLEAN, Measured
from harmgauge_models.measures.roc import roc_auc, roc_curve

Mask = npt.NDArray[np.bool_]
Predictions = npt.NDArray[Any]
"""Predicted classes as whole numbers (n,)."""


@dataclass(frozen=True)
class Harm:
    """Masks (n,) over corrupted inputs. Inputs that the classifier gets wrong when clean are in neither mask."""

    harmful: Mask
    harmless: Mask


def harm(clean: Predictions, corrupted: Predictions, labels: Predictions) -> Harm:
    """Harmful: right on the clean input, wrong on the corrupted one. Harmless: right on both.

    `corrupted` may be (..., n), several corruptions of the same inputs; the masks have its shape. Raises ValueError
    if the shapes do not fit.
    """
    if clean.shape != labels.shape or clean.ndim != 1 or corrupted.shape[-1:] != labels.shape:
        raise ValueError(f"clean {clean.shape}, labels {labels.shape} (n,) and corrupted {corrupted.shape} (..., n)")
    right_before, right_after = clean == labels, corrupted == labels
    return Harm(harmful=right_before & ~right_after, harmless=right_before & right_after)


GROUPS = ("harmful", "harmless")


def level_name(severity: int) -> str:
    """The key in `quality.json`."""
    return str(severity) if severity else "none"


@dataclass(frozen=True)
class Pool:
    """All kinds at one severity: `kinds` names the k rows of the scores (k, n), of `right` (k, n), which is a mask of
    the classifier's right answers, and of the group masks.
    """

    kinds: tuple[str, ...]
    scores: dict[str, npt.NDArray[np.float64]]
    right: npt.NDArray[np.bool_]
    harm: Harm
    corrected_right: npt.NDArray[np.bool_] | None
    features: npt.NDArray[np.float32] | None
    error_probability: npt.NDArray[np.float32] | None = None

    def group(self, name: str) -> Group:
        """The rows of `harmful` or `harmless`."""
        mask = getattr(self.harm, name)
        others = (None if some is None else some[mask] for some in (self.features, self.error_probability))
        return Group(self.scores["score"][mask], *others)


def pool(measured: dict[tuple[str, int], Measured], severity: int, labels: Labels) -> Pool:
    """Combine the measurements at one severity; `labels` (n,)."""
    found = {kind: one for (kind, level), one in measured.items() if level == severity and (kind, level) != CLEAN}
    predictions = np.stack([one.predictions for one in found.values()])
    corrected = [one.corrected for one in found.values() if one.corrected is not None]
    features = [one.features for one in found.values() if one.features is not None]
    chances = [one.error_probability for one in found.values() if one.error_probability is not None]
    return Pool(
        kinds=tuple(found),
        scores={name: np.stack([one.scores[name] for one in found.values()]) for name in measured[CLEAN].scores},
        right=predictions == labels,
        harm=harm(measured[CLEAN].predictions, predictions, labels),
        corrected_right=np.stack(corrected) == labels if corrected else None,
        features=np.stack(features) if features else None,
        error_probability=np.stack(chances) if chances else None,
    )


def clean_table(clean: Measured, labels: Labels, threshold: np.float32) -> dict[str, Any]:
    """The table for the clean rows."""
    table = {"rows": len(labels), "accuracy": float((clean.predictions == labels).mean())}
    if clean.corrected is not None:
        table["corrected_accuracy"] = float((clean.corrected == labels).mean())
    return table | _scores(clean.scores, np.ones(len(labels), bool), threshold)


def severity_table(pooled: Pool, threshold: np.float32, resembled: tuple[str, ...] = ()) -> dict[str, Any]:
    """Accuracy, overall and by kind; for both groups the rows, means, standard deviations and flagged share; ROC AUC
    and curve of harmful against harmless for each of SCORES, None if a group is empty; and the score's ROC AUC by kind.

    If the detector was trained on the kinds in `resembled`, also the ROC AUC over all others.
    """
    table: dict[str, Any] = {
        "accuracy": float(pooled.right.mean()),
        "accuracy_by_kind": {kind: float(right.mean()) for kind, right in zip(pooled.kinds, pooled.right, strict=True)},
    }
    if pooled.corrected_right is not None:
        table["corrected_accuracy"] = float(pooled.corrected_right.mean())
    masks = {name: getattr(pooled.harm, name) for name in GROUPS}
    for name, mask in masks.items():
        table[name] = {"rows": int(mask.sum())} | _scores(pooled.scores, mask, threshold)
    both = all(mask.any() for mask in masks.values())
    high_low = {name: [scores[mask] for mask in masks.values()] for name, scores in pooled.scores.items()}
    table["roc_auc"] = {name: roc_auc(*two) if both else None for name, two in high_low.items()}
    table["roc_auc_by_kind"] = {kind: _area(pooled, "score", np.array([i])) for i, kind in enumerate(pooled.kinds)}
    unseen = np.flatnonzero([kind not in resembled for kind in pooled.kinds])
    if resembled and len(unseen):
        table["roc_auc_unseen"] = {name: _area(pooled, name, unseen) for name in pooled.scores}
    if both:
        curves = {name: roc_curve(*two) for name, two in high_low.items()}
        table["roc_curve"] = {
            name: {"harmless": _rounded(harmless), "harmful": _rounded(harmful)}
            for name, (harmless, harmful) in curves.items()
        }
    return table


def _area(pooled: Pool, name: str, kinds: npt.NDArray[np.intp]) -> float | None:
    """ROC AUC of harmful against harmless over some kinds, given by their indices."""
    harmful, harmless = (pooled.scores[name][kinds][getattr(pooled.harm, group)[kinds]] for group in GROUPS)
    return roc_auc(harmful, harmless) if len(harmful) and len(harmless) else None


def _scores(
    scores: dict[str, npt.NDArray[np.float64]], mask: npt.NDArray[np.bool_], threshold: np.float32
) -> dict[str, Any]:
    if not mask.any():
        return {}
    table: dict[str, Any] = {
        name: {"mean": float(values[mask].mean()), "std": float(values[mask].std())} for name, values in scores.items()
    }
    return table | {"flagged": float((scores["score"][mask].astype(np.float32) > threshold).mean())}


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]
