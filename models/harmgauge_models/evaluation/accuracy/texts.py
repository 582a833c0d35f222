"""Sentences about the estimates of accuracy and the alarm on harm, for the report and the command."""

from __future__ import annotations

from typing import Any

from harmgauge_models.evaluation.accuracy.sets import GROUPS

Quality = dict[str, Any]

TARGETS = {"wrong": "wrong answers", "changed": "answers that a disturbance changed"}


def fitted(quality: Quality) -> str:
    """On which rows what was fitted, and on which it is judged."""
    own, what = quality["accuracy_estimate"]["fitted"], "pictures" if "pictures" in quality else "rows"
    return (
        f"The error probability was fitted, when the bundle was made, to {TARGETS[own['target']]} among "
        f"{own['rows']:,} calibration rows and {own['copies']} disturbed copies of each. All {own['judged_rows']:,} "
        f"{what} here judge it, and fitted nothing of it. The methods of the literature need labelled clean rows to "
        "fit on: each half of these, drawn at random, is judged by what the other half fitted."
    )


def estimate(quality: Quality) -> str:
    """What the section about the estimate shows."""
    return (
        "The estimate of accuracy is 1 - the mean error probability of the rows; no labels are needed. Here it stands "
        f"against the labels. {fitted(quality)} CBPE is the mean of a calibrated confidence, ATC goes by the share of "
        "rows below a threshold of entropy (Garg et al. 2022), COT by optimal transport from the classifier's "
        "probabilities to the classes (Lu et al. 2023)."
    )


def unseen(quality: Quality) -> str:
    """The limits of the estimate."""
    return (
        "The estimate does not see everything: for rows far from every disturbance of its calibration (turned or "
        "inverted pictures, say), and under attacks that the bundle does not see, it flatters. There the accuracy is "
        "lower than the estimate, by the differences below. No answer to rows of noise is right."
    )


def harm(quality: Quality) -> str:
    """What the section about the alarm shows."""
    found = quality["accuracy_estimate"]["alarm"]
    return (
        f"harm alarms if the estimate of accuracy has fallen by more than {found['accuracy_drop']:.3f} (the dashed "
        f"line), below {found['accuracy_limit']:.3f}; it goes by the estimate, and so far as that is right by the "
        f"accuracy. Each set gives {found['streams']} streams of {found['stream_rows']:,} rows, with "
        f"{found['rows_between_false_alarms']:,} rows between false alarms. score_evidence, in the same streams, "
        "alarms on any change of the scores, harmful or not. Mean rows are those of the streams with an alarm."
    )


def lines(quality: Quality) -> list[str]:
    """What the command says in the end."""
    found = quality["accuracy_estimate"]
    if "missing" in found:
        return [f"no estimate of accuracy: {found['missing']}"]
    group = next((group for group in ("single", "period") if group in found["errors"]), next(iter(found["errors"])))
    errors = found["errors"][group]
    own, best = errors["error_probability"], errors["atc"]
    said = [
        f"estimate of accuracy, {GROUPS[group]}: error {own['mean']:.3f} on average, {own['max']:.3f} at worst, over "
        f"{errors['sets']} sets (ATC, of the literature: {best['mean']:.3f}, {best['max']:.3f})"
    ]
    for rows, by_group in found["coverage"].items():
        every = by_group["all"]
        said.append(
            f"its 90 % interval holds the accuracy in {every['coverage']:.1%} of windows of {int(rows):,} rows; "
            f"half-width {every['half_width']:.3f}"
        )
    said += [
        f"harm, the accuracy down by {_span(own)}: alarms in {own['single']['harm']['alarms']:.0%} of streams"
        + _after(own["single"]["harm"]["mean_rows"])
        for own in found["alarm"]["by_drop"]
    ]
    flattered = {name: own for name, own in found["stress"].items() if own["accuracy"] is not None}
    if flattered:
        gaps = [f"{name} {own['estimate']:.2f} for {own['accuracy']:.2f}" for name, own in flattered.items()]
        said.append(f"the estimate flatters where no disturbance comes near: {', '.join(gaps)}".replace("_", " "))
    return [*said, fitted(quality)]


def _span(own: dict[str, Any]) -> str:
    low = "" if own["above"] < 0 else f"{own['above']:g} to "
    return f"{low}{own['up_to']:g}" if low else f"at most {own['up_to']:g}"


def _after(rows: float | None) -> str:
    return "" if rows is None else f", after {rows:,.0f} rows"
