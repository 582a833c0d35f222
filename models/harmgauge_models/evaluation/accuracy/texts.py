"""Sentences about the accuracy estimates and the alarm on harm, for the report and the command."""

from __future__ import annotations

from typing import Any

from harmgauge_models.evaluation.accuracy.sets import GROUPS

Quality = dict[str, Any]

TARGETS = {"wrong": "wrong answers", "changed": "answers that a disturbance changed"}


def fitted(quality: Quality) -> str:
    """Describes the rows on which the estimates were fitted, and those on which they are judged."""
    own, what = quality["accuracy_estimate"]["fitted"], "pictures" if "pictures" in quality else "rows"
    return (
        f"The error probability was fitted, when the bundle was made, to {TARGETS[own['target']]} among "
        f"{own['rows']:,} calibration rows and {own['copies']} disturbed copies of each. It is judged on all "
        f"{own['judged_rows']:,} {what} here, none of which it was fitted on. The methods of the literature must be "
        "fitted on labelled clean rows: each random half of these is judged by a fit on the other half."
    )


def estimate(quality: Quality) -> str:
    """The text of the section on the estimate."""
    return (
        "The estimate of accuracy is 1 - the mean error probability of the rows; it needs no labels. Here it is "
        f"compared with the labels. {fitted(quality)} CBPE is the mean of a calibrated confidence, ATC the share of "
        "rows below a threshold of entropy (Garg et al. 2022), and COT uses optimal transport from the classifier's "
        "probabilities to the classes (Lu et al. 2023)."
    )


def unseen(quality: Quality) -> str:
    """The text on the limits of the estimate."""
    return (
        "The estimate has limits: it is too high for rows far from every disturbance of its calibration, such as "
        "rotated or inverted pictures, and under attacks that the bundle does not detect. The table shows by how much "
        "it exceeds the accuracy. For rows of noise, no answer is right."
    )


def harm(quality: Quality) -> str:
    """The text of the section on the alarm."""
    found = quality["accuracy_estimate"]["alarm"]
    return (
        f"harm alarms if the estimate of accuracy has fallen by more than {found['accuracy_drop']:.3f} (the dashed "
        f"line), below {found['accuracy_limit']:.3f}; it is as right about the accuracy as the estimate is. Each set "
        f"yields {found['streams']} streams of {found['stream_rows']:,} rows, with "
        f"{found['rows_between_false_alarms']:,} rows between false alarms. score_evidence, in the same streams, "
        "alarms on any change of the scores, harmful or not. Mean rows to the alarm are over the streams with an alarm."
    )


def lines(quality: Quality) -> list[str]:
    """The last lines that the command prints."""
    found = quality["accuracy_estimate"]
    if "missing" in found:
        return [f"no estimate of accuracy: {found['missing']}"]
    group = next((group for group in ("single", "period") if group in found["errors"]), next(iter(found["errors"])))
    errors = found["errors"][group]
    own, best = errors["error_probability"], errors["atc"]
    said = [
        f"estimate of accuracy, {GROUPS[group]}: error {own['mean']:.3f} on average, {own['max']:.3f} at worst, over "
        f"{errors['sets']} sets (ATC, from the literature: {best['mean']:.3f}, {best['max']:.3f})"
    ]
    for rows, by_group in found["coverage"].items():
        every = by_group["all"]
        said.append(
            f"its 90 % interval contains the accuracy in {every['coverage']:.1%} of windows of {int(rows):,} rows; "
            f"half-width {every['half_width']:.3f}"
        )
    said += [
        f"harm, with the accuracy down by {_span(own)}: alarms in {own['single']['harm']['alarms']:.0%} of streams"
        + _after(own["single"]["harm"]["mean_rows"])
        for own in found["alarm"]["by_drop"]
    ]
    flattered = {name: own for name, own in found["stress"].items() if own["accuracy"] is not None}
    if flattered:
        gaps = [f"{name} {own['estimate']:.2f} for {own['accuracy']:.2f}" for name, own in flattered.items()]
        said.append(f"the estimate is too high far from every disturbance: {', '.join(gaps)}".replace("_", " "))
    return [*said, fitted(quality)]


def _span(own: dict[str, Any]) -> str:
    low = "" if own["above"] < 0 else f"{own['above']:g} to "
    return f"{low}{own['up_to']:g}" if low else f"at most {own['up_to']:g}"


def _after(rows: float | None) -> str:
    return "" if rows is None else f", after {rows:,.0f} rows"
