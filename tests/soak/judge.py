"""The bars of a soak, from its journal alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.soak.ledger import Ledger, Unanswered
from tests.soak.limits import DRAIN_SECONDS
from tests.soak.pace import CALM_BEGINS, LIGHT_ENDS
from tests.support.exposition import Samples

WARM_UP_SHARE = 0.15
"""The share of the soak before memory is measured: by then, threads, pools and malloc's reserves exist."""

MEMORY_SHARE = 0.05
"""The share of the soak over which the median memory is taken, at the start and at the end."""

CALM_SHARE = CALM_BEGINS + 0.05
"""By then, the remains of the last swap are gone, and the windows of the bundle are full."""

SHORTEST_FOR_MEMORY_MINUTES = 15
MEMORY_GROWTH = 1.05
DRAIN_BOUND_SECONDS = DRAIN_SECONDS + 1.0
"""The additional second is for saving the drift state and for exiting."""

KILLED_SECONDS = 5.0

OF_THE_OPERATOR = {"bundle_refused", "no_shadow", "swap_in_progress", "shadow_fails"}
"""Errors that the operator's own calls may get while swaps and shadows overlap; they are not a client's."""

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Bar:
    what: str
    found: str
    good: bool


def kinds(events: Events, kind: str) -> Events:
    return [event for event in events if event["kind"] == kind]


def ledgers(events: Events) -> dict[str, Ledger]:
    """The results of all clients, by service."""
    found: dict[str, Ledger] = {}
    for event in kinds(events, "ledgers"):
        for name, document in event["ledgers"].items():
            found.setdefault(name, Ledger()).add(Ledger.read(document))
    return found


def fate(request: Unanswered, events: Events) -> str:
    """The reason why a request to the restarted service was never answered.

    `killed`: the process was killed with SIGKILL while it waited. `told`: an earlier response on its connection
    announced that the connection would close. `crossed`: it was sent after SIGTERM, while the service was closing its
    idle connections. Everything else is `lost`: sent completely to a service that was not being stopped.
    """
    if any(0 <= request.gone - kill["at"] < KILLED_SECONDS for kill in kinds(events, "kill")):
        return "killed"
    if request.told:
        return "told"
    for drain in kinds(events, "drain"):
        if drain["began"] <= request.sent <= drain["began"] + drain["seconds"]:
            return "crossed"
    return "lost"


def fates(events: Events) -> Counter[str]:
    """The reasons for all unanswered requests to both services; the steady one is never stopped."""
    found: Counter[str] = Counter()
    for name, ledger in ledgers(events).items():
        found.update(fate(request, events if name == "restarted" else []) for request in ledger.unanswered)
    return found


def memory(
    events: Events, field: str = "rss_mib", first: float = WARM_UP_SHARE, end: float = 1.0
) -> tuple[float, float]:
    """The memory of the steady service after the share `first` of the soak and before the share `end`, in MiB."""
    samples = kinds(events, "sample")
    times = np.array([sample["at"] for sample in samples])
    sizes = np.array([sample["steady"][field] for sample in samples])
    share = (times - times[0]) / max(times[-1] - times[0], 1e-9)
    before = sizes[(share >= first) & (share <= first + MEMORY_SHARE)]
    after = sizes[(share >= end - MEMORY_SHARE) & (share <= end)]
    return tuple(float(np.median(part if len(part) else sizes)) for part in (before, after))  # type: ignore[return-value]  # two of them


def untrue_counters(ledger: Ledger, metrics: Mapping[str, Samples]) -> list[str]:
    """The differences between the service's counters and what its clients saw; every request of every client is known.

    A client that left after sending the head is counted as answered or as 499; one that reset the connection may not be
    counted.
    """
    routes = {name.rpartition(" ")[0] for name in ledger.answers}
    counted: Counter[str] = Counter()
    for labels, value in metrics["harmgauge_requests_total"]:
        if labels["route"] in routes:
            counted[f"{labels['route']} {labels['status']}"] += int(value)
    found = []
    for name in sorted(counted.keys() | ledger.answers.keys()):
        if not name.endswith((" 200", " 499")) and counted[name] != ledger.answers[name]:
            found.append(f"{name}: {counted[name]} counted, {ledger.answers[name]} seen")
    for route in routes:
        names = f"{route} 200", f"{route} 499"
        more = sum(counted[name] - ledger.answers[name] for name in names) - ledger.left[route]
        if counted[names[0]] < ledger.answers[names[0]] or not 0 <= more <= ledger.reset[route]:
            found.append(
                f"{route}: {counted[names[0]]} + {counted[names[1]]} counted as 200 and 499; "
                f"{ledger.answers[names[0]]} seen, {ledger.left[route]} left, {ledger.reset[route]} tore"
            )
    rejected = {
        labels["reason"]: int(value)
        for labels, value in metrics["harmgauge_rejected_total"]
        if value and labels["reason"] not in OF_THE_OPERATOR
    }
    if rejected != {code: count for code, count in ledger.codes.items() if count}:
        found.append(f"rejected: {rejected} counted, {dict(ledger.codes)} seen")
    rows = {labels["flag"]: int(value) for labels, value in metrics["harmgauge_instances_total"]}
    for flag, seen in (("adversarial", ledger.flagged), ("clean", ledger.rows - ledger.flagged)):
        if not seen <= rows[flag] <= seen + ledger.perhaps_rows:
            found.append(f"{flag} instances: {rows[flag]} counted, {seen} seen")
    return found


def own_seconds(drain: dict[str, Any], events: Events) -> float:
    """The duration of a drain without the stalls of the whole machine."""
    begin, end = drain["began"], drain["began"] + drain["seconds"]
    stalls = [(stall["at"] - stall["seconds"], stall["at"]) for stall in kinds(events, "stall")]
    return float(end - begin - sum(max(0.0, min(end, last) - max(begin, first)) for first, last in stalls))


def judge(events: Events) -> list[Bar]:
    plan = kinds(events, "plan")[0]
    seen = ledgers(events)
    single = sum(ledger.single for ledger in seen.values())
    swapped = sum(ledger.swapped for ledger in seen.values())
    wrong = sum(ledger.wrong for ledger in seen.values())
    lost = fates(events)["lost"]
    drains = kinds(events, "drain")
    slowest = max((own_seconds(drain, events) for drain in drains), default=0.0)
    codes = {drain["code"] for drain in drains}
    untrue = kinds(events, "counters")[0]["untrue"]
    failures = [event["what"] for event in kinds(events, "failure")]
    bars = [
        Bar("single-row requests answered", f"{single:,} of {plan['requests']:,}", single >= plan["requests"]),
        Bar("good answers that were another request's", str(swapped), swapped == 0),
        Bar("answers that should have been others", str(wrong), wrong == 0),
        Bar("requests lost", str(lost), lost == 0),
        Bar("counters that differ from what clients saw", "; ".join(untrue) or "none", not untrue),
        Bar(
            f"slowest drain but for stalls, at most {DRAIN_BOUND_SECONDS:g} s",
            f"{slowest:.2f} s",
            slowest <= DRAIN_BOUND_SECONDS,
        ),
        Bar("exit codes after SIGTERM", str(sorted(codes)), codes == {0}),
        Bar("failures and errors in the logs", "; ".join(failures[:5]) or "none", not failures),
    ]
    if plan["minutes"] >= SHORTEST_FOR_MEMORY_MINUTES:
        spans = {"after warm-up and at the end": memory(events)}
        if kinds(events, "phase"):
            spans["over the calm and the light phase, of one bundle"] = memory(events, first=CALM_SHARE, end=LIGHT_ENDS)
        for span, (before, after) in spans.items():
            growth = f"{before:.1f} to {after:.1f} MiB, {after / before - 1:+.1%}"
            bars.append(Bar(f"memory {span}, at most 5 % more", growth, after <= before * MEMORY_GROWTH))
    return bars
