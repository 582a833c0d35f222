"""The accuracy estimates and the alarm on harm as HTML tables."""

from __future__ import annotations

from typing import Any

from harmgauge_models.evaluation.accuracy.alarm_tables import DETECTORS, DROPS, HARMLESS_DROP, TRAFFIC
from harmgauge_models.evaluation.accuracy.baselines import METHODS
from harmgauge_models.evaluation.accuracy.sets import GROUPS
from harmgauge_models.evaluation.attack_names import ATTACKS
from harmgauge_models.evaluation.tables import ABSENT, number, share, table

Quality = dict[str, Any]


def errors(quality: Quality) -> str:
    """Mean and largest error of each method, by group, beside the mean error expected by chance alone."""
    found = quality["accuracy_estimate"]["errors"]
    rows = [
        [
            GROUPS[group],
            f"{own['sets']}",
            number(own.get("by_chance"), 4),
            *(_error(own.get(method)) for method in METHODS),
        ]
        for group, own in found.items()
    ]
    return table(
        "Error of the estimated accuracy: mean and largest", ["rows", "sets", "by chance", *METHODS.values()], rows
    )


def coverage(quality: Quality) -> str:
    found = quality["accuracy_estimate"]["coverage"]
    rows = [
        [
            f"{'all' if group == 'all' else GROUPS[group]}, {int(window):,} rows",
            f"{own['windows']}",
            share(own["coverage"]),
            number(own["half_width"], 3),
        ]
        for window, by_group in found.items()
        for group, own in by_group.items()
    ]
    head = ["window", "windows", "accuracy in the interval", "mean half-width"]
    return table("The 90 % interval", head, rows)


def sets(quality: Quality) -> str:
    rows = [
        [
            f"{GROUPS[one['group']]}: {one['name'].replace('_', ' ')}",
            f"{one['rows']}",
            number(one["accuracy"], 3),
            *(number(one.get(method), 3) for method in METHODS),
        ]
        for one in quality["accuracy_estimate"]["sets"]
    ]
    return table("Accuracy and its estimates", ["set", "rows", "accuracy", *METHODS.values()], rows)


def stress(quality: Quality) -> str:
    """Rows unlike any disturbance, and attacks if there were any."""
    found = quality["accuracy_estimate"]["stress"]
    rows = [
        [
            name.replace("_", " "),
            ABSENT if own["accuracy"] is None else number(own["accuracy"], 3),
            number(own["estimate"], 3),
            ABSENT if own["accuracy"] is None else f"{own['estimate'] - own['accuracy']:+.3f}",
            share(own["harm"]["alarms"]),
            number(own["harm"]["mean_rows"], 0),
        ]
        for name, own in found.items()
    ]
    for name, attack in quality.get("attacks", {"by": {}})["by"].items():
        served = attack.get("rounded", attack)
        if "estimate" in served:
            gap = f"{served['estimate'] - served['accuracy']:+.3f}"
            figures = [number(served["accuracy"], 3), number(served["estimate"], 3), gap]
            rows.append([f"attack: {ATTACKS[name]}", *figures, ABSENT, ABSENT])
    head = ["rows", "accuracy", "estimate", "difference", "streams in which harm alarms", "mean rows to the alarm"]
    return table("Limits of the estimate", head, rows)


def alarms_by_drop(quality: Quality) -> str:
    found = quality["accuracy_estimate"]["alarm"]
    columns = [(traffic, name) for traffic in TRAFFIC for name in DETECTORS.values()]
    rows = [[_span(own), f"{own['sets']}", *(_alarms(own[a][b]) for a, b in columns)] for own in found["by_drop"]]
    head = ["true drop of accuracy", "sets", *(f"{name}, {TRAFFIC[traffic]}" for traffic, name in columns)]
    return table("Share of streams with an alarm, and mean rows to the alarm", head, rows)


def alarms_by_floor(quality: Quality) -> str:
    found = quality["accuracy_estimate"]["alarm"]["by_floor"]
    rows = [
        [number(own["floor"], 3), f"{own['false']} of {own['above']}", f"{own['missed']} of {own['below']}"]
        for own in found
    ]
    rows.append(
        ["all", *(f"{_sum(found, a)} of {_sum(found, b)}" for a, b in (("false", "above"), ("missed", "below")))]
    )
    head = ["floor", "sets above it with an alarm", "sets more than .03 below it without an alarm"]
    return table("Alarms on a floor of accuracy, one row per request", head, rows)


def alarms_by_set(quality: Quality) -> str:
    rows = [
        [own["name"].replace("_", " "), f"{own['drop']:+.3f}", *(_alarms(own[name]) for name in DETECTORS.values())]
        for own in quality["accuracy_estimate"]["alarm"]["sets"]
    ]
    return table("Alarms by set, one row per request", ["set", "true drop", *DETECTORS.values()], rows)


def _error(found: dict[str, float] | None) -> str:
    return ABSENT if found is None else f"{found['mean']:.4f}, {found['max']:.3f}"


def _span(own: dict[str, Any]) -> str:
    if own["above"] == DROPS[0]:
        harmless = own["up_to"] == HARMLESS_DROP
        return f"at most {own['up_to']:g}" + (" (harmless, together)" if harmless else "")
    return f"more than {own['above']:g}" + ("" if own["up_to"] == DROPS[-1] else f", at most {own['up_to']:g}")


def _alarms(own: dict[str, Any]) -> str:
    rows = "" if own["mean_rows"] is None else f", {own['mean_rows']:,.0f} rows"
    return f"{own['alarms']:.2f}{rows}"


def _sum(found: list[dict[str, Any]], name: str) -> int:
    return sum(own[name] for own in found)
