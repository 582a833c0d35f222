"""The soak as a Markdown file with plots, from its journal."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harmgauge.inference.providers import usable_cores
from tests.soak.heartbeat import STALL_SECONDS
from tests.soak.judge import DRAIN_BOUND_SECONDS, WARM_UP_SHARE, Bar, Events, fates, kinds, ledgers, memory

_DETECTORS = ("score_ks", "score_evidence", "feature_mmd")


def table(bars: list[Bar]) -> str:
    lines = ["| bar | found | |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {bar.what} | {bar.found} | {'kept' if bar.good else 'MISSED'} |" for bar in bars)])


def write(out: Path, events: Events, bars: list[Bar]) -> Path:
    """Write a Markdown file to the folder `out`, named after the soak, with its plots; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    plan = kinds(events, "plan")[0]
    stem = f"{plan['date']}-{plan['minutes']:g}-minutes"
    for name, figure in (("load", _load(events)), ("state", _state(events)), ("ends", _ends(events))):
        figure.savefig(out / f"{stem}-{name}.png", dpi=80, metadata={"Software": None})
    minutes = _minutes(events)
    parts = [
        f"# Soak of {plan['date']}",
        f"`{_command(plan['command'])}`, on {usable_cores()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}; "
        f"services and clients share the cores. {minutes[-1] - minutes[0]:.0f} minutes of traffic.",
        table(bars),
        _what_is_counted(),
        f"![rate and latency]({stem}-load.png)",
        f"![memory, threads, files, drift]({stem}-state.png)",
        f"![errors and drains]({stem}-ends.png)",
        _requests(events),
        _faults(events),
        _memory(events),
        _drift(events),
    ]
    path = out / f"{stem}.md"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _command(whole: str) -> str:
    """The command without its output paths, which belong to one machine."""
    return re.sub(r" --(out|journal)[ =]\S+", "", whole)


def _what_is_counted() -> str:
    return """## What is counted

Two services run: one for the whole time, which gets every disturbance except a stop, and one that is stopped and
restarted repeatedly. Every single-row request has its own input, of 16.7 million; its score is that input's number, the
prediction and the flag follow from it, and the two alternating versions of the bundle have no score in common. The
whole body of each response is compared with the expected one, so a response to another request, or from a version other
than the one it names, is certain to be noticed.

**Lost** is a request that was sent completely before the service was told to stop, and that was never answered, or not
within 30 s. Counted separately: *killed*, waiting when the process got SIGKILL; *crossed*, sent after SIGTERM while the
service was closing its idle connections; *told*, behind a response with `Connection: close`. All of these are sent
again, as are rejected requests (429, 503, 504)."""


def _requests(events: Events) -> str:
    found = ledgers(events)
    ways = sorted({kind for ledger in found.values() for kind in ledger.by_kind})
    lines = ["## Requests", "", f"| single rows | {' | '.join(found)} |", "| --- |" + " ---: |" * len(found)]
    lines += [f"| {way} | {' | '.join(f'{ledger.by_kind[way]:,}' for ledger in found.values())} |" for way in ways]
    lines.append(f"| **all** | {' | '.join(f'{ledger.single:,}' for ledger in found.values())} |")
    lines += ["", f"| answers by route and status | {' | '.join(found)} |", "| --- |" + " ---: |" * len(found)]
    for answer in sorted({name for ledger in found.values() for name in ledger.answers}):
        lines.append(f"| {answer} | {' | '.join(f'{ledger.answers[answer]:,}' for ledger in found.values())} |")
    rows = sum(ledger.rows for ledger in found.values())
    gone = sum((ledger.left + ledger.reset).total() for ledger in found.values())
    lines += ["", f"{rows:,} rows in all. {gone:,} clients left on purpose when the head was there or later."]
    evidence = [text for ledger in found.values() for text in ledger.evidence]
    if evidence:
        lines += ["", *(f"- `{text[:300]}`" for text in evidence)]
    return "\n".join(lines)


def _faults(events: Events) -> str:
    swaps = [swap for swap in kinds(events, "swap") if swap["status"] == 200]
    drains = kinds(events, "drain")
    unanswered = fates(events)
    lines = [
        "## Faults",
        "",
        f"- {len(swaps)} swaps by `POST /admin/bundle`, {np.median([swap['seconds'] for swap in swaps]):.2f} s at the "
        f"median, {max(swap['seconds'] for swap in swaps):.2f} s at most; {len(kinds(events, 'sighup'))} by SIGHUP."
        if swaps
        else "- no swaps",
        *(
            ["- swaps in the storms only; in the light phase one request at a time, so that nothing queues"]
            if kinds(events, "phase")
            else []
        ),
        f"- {len(kinds(events, 'keys'))} times a new key for all clients, and the old one shut out.",
        f"- {len(drains)} ends by SIGTERM, {len(kinds(events, 'kill'))} by SIGKILL.",
        *_stalls(events),
        f"- requests never answered: {', '.join(f'{count} {fate}' for fate, count in unanswered.items()) or 'none'}.",
        "",
        "| SIGTERM | times | median s | most s |",
        "| --- | ---: | ---: | ---: |",
    ]
    for how in dict.fromkeys(drain["how"] for drain in drains):
        seconds = [drain["seconds"] for drain in drains if drain["how"] == how]
        lines.append(f"| {how} | {len(seconds)} | {np.median(seconds):.2f} | {max(seconds):.2f} |")
    lines += ["", 'With a "slow client", a body that never becomes whole holds the drain up for all of its 8 s.']
    return "\n".join(lines)


def _stalls(events: Events) -> list[str]:
    seconds = [stall["seconds"] for stall in kinds(events, "stall")]
    if not seconds:
        return []
    found = f"{len(seconds)} times for more than {STALL_SECONDS:g} s, the longest {max(seconds):.1f} s"
    return [f"- a thread that does nothing but sleep was not woken in time, so the machine stood still: {found}."]


def _memory(events: Events) -> str:
    samples = kinds(events, "sample")
    rest = kinds(events, "rest")[0]["steady"]
    lines = [
        "## Memory of the steady service",
        "",
        f"After a warm-up of {WARM_UP_SHARE:.0%} of the time, and at the end (medians of 5 % of it each):",
        "",
    ]
    for field, name in (("rss_mib", "RSS"), ("pss_mib", "PSS")):
        before, after = memory(events, field)
        lines.append(
            f"- {name} {before:.1f} and {after:.1f} MiB ({after / before - 1:+.1%}); at rest {rest[field]:.1f}"
        )
    for field in ("threads", "files"):
        counts = [sample["steady"][field] for sample in samples]
        lines.append(f"- {field}: {min(counts):.0f} to {max(counts):.0f} under load, {rest[field]:.0f} at rest")
    return "\n".join(lines)


def _drift(events: Events) -> str:
    samples = kinds(events, "sample")
    lines = ["## Drift", "", "The traffic has no drift: it is the reference's distribution.", ""]
    for name in _DETECTORS:
        found = [sample["drift"][name] for sample in samples if name in sample["drift"]]
        p_values = [each["p_value"] for each in found if each["p_value"] is not None]
        alarms = sum(each["state"] == "drifting" for each in found)
        line = f"- `{name}`: alarm in {alarms} of {len(found)} looks"
        if p_values:
            line += f"; p-value {min(p_values):.2g} at least, {np.median(p_values):.2f} at the median"
        lines.append(line)
    return "\n".join(lines)


def _minutes(events: Events) -> Any:
    at = np.array([sample["at"] for sample in kinds(events, "sample")])
    return (at - at[0]) / 60


def _said(events: Events, field: str) -> dict[str, Any]:
    """The reports of clients at each sample, by process and service; NaN if there was none yet."""
    samples = kinds(events, "sample")
    names = {(process, name): f"{name} ({'most' if process == '0' else 'slower clients'})"
             for sample in samples for process, said in sample["clients"].items() for name in said}  # fmt: skip
    return {
        label: np.array(
            [sample["clients"].get(process, {}).get(name, {}).get(field, np.nan) for sample in samples], np.float64
        )
        for (process, name), label in names.items()
    }


def _load(events: Events) -> Figure:
    minutes = _minutes(events)
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    rate, latency = figure.subplots(2, 1, sharex=True)
    times = _said(events, "at")
    for label, single in _said(events, "single").items():
        said, first = np.unique(times[label], return_index=True)  # clients report at times of their own
        if np.isfinite(said).sum() < 2:  # a journal from before reports had times
            said, first = minutes * 60, np.arange(len(minutes))
        rate.plot((said[1:] - said[0]) / 60, np.diff(single[first]) / np.diff(said), label=label, linewidth=0.9)
    rate.set(ylabel="single rows answered a second", ylim=(0, None))
    p99 = _said(events, "p99_seconds")
    for number, (label, p50) in enumerate(_said(events, "p50_seconds").items()):
        latency.plot(minutes, p50 * 1e3, color=f"C{number}", linewidth=0.9, label=f"{label}, p50")
        latency.plot(minutes, p99[label] * 1e3, color=f"C{number}", linewidth=0.9, alpha=0.4, label=f"{label}, p99")
    latency.set(xlabel="minutes", ylabel="latency, ms", yscale="log")
    for axes in (rate, latency):
        axes.legend(fontsize=7, ncols=2)
    return figure


def _state(events: Events) -> Figure:
    minutes, samples = _minutes(events), kinds(events, "sample")
    figure = Figure(figsize=(9, 7), layout="constrained")
    memory_axes, count_axes, drift_axes = figure.subplots(3, 1, sharex=True)
    for name in ("steady", "restarted"):
        sizes = [sample[name]["rss_mib"] if name in sample else np.nan for sample in samples]
        memory_axes.plot(minutes, sizes, label=f"{name}, RSS", linewidth=0.9)
    memory_axes.plot(minutes, [sample["steady"]["pss_mib"] for sample in samples], label="steady, PSS", linewidth=0.9)
    memory_axes.axvline(minutes[-1] * WARM_UP_SHARE, color="gray", linestyle=":")
    memory_axes.set(ylabel="MiB", ylim=(0, None))
    for field in ("threads", "files"):
        count_axes.plot(
            minutes, [sample["steady"][field] for sample in samples], label=f"steady, {field}", linewidth=0.9
        )
    count_axes.set(ylim=(0, None))
    for name in _DETECTORS:
        p_values = [sample["drift"].get(name, {}).get("p_value") for sample in samples]
        if any(p_value is not None for p_value in p_values):
            drift_axes.plot(minutes, np.array(p_values, np.float64), ".", markersize=2, label=name)
    for change in kinds(events, "phase"):
        minute = (change["at"] - samples[0]["at"]) / 60
        memory_axes.axvline(minute, color="gray", linewidth=0.6)
        memory_axes.annotate(change["name"], (minute, 4), fontsize=7)
    drift_axes.set(xlabel="minutes", ylabel="p-value of drift", yscale="log")
    for axes in (memory_axes, count_axes, drift_axes):
        axes.legend(fontsize=7, ncols=3)
    return figure


def _ends(events: Events) -> Figure:
    figure = Figure(figsize=(9, 3), layout="constrained")
    errors, drains = figure.subplots(1, 2)
    found = ledgers(events)
    codes = sorted({code for ledger in found.values() for code in ledger.codes})
    for number, (name, ledger) in enumerate(found.items()):
        errors.barh(np.arange(len(codes)) + 0.4 * number, [ledger.codes[code] for code in codes], 0.4, label=name)
    errors.set_yticks(np.arange(len(codes)) + 0.2, codes, fontsize=7)
    errors.set(xscale="log", xlabel="errors, by code", xlim=(1, None))
    errors.legend(fontsize=7)
    _drains(drains, kinds(events, "drain"))
    return figure


def _drains(axes: Axes, drains: Events) -> None:
    for how in dict.fromkeys(drain["how"] for drain in drains):
        own = [(number, drain["seconds"]) for number, drain in enumerate(drains, 1) if drain["how"] == how]
        axes.plot(*zip(*own, strict=True), "o", markersize=4, label=how)
    axes.axhline(DRAIN_BOUND_SECONDS, color="black", linewidth=0.8)
    axes.set(xlabel="end by SIGTERM", ylabel="seconds from the signal to the exit", ylim=(0, None))
    axes.legend(fontsize=7)
