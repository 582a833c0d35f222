"""The stream of the demo: clean inputs, then growing shares of corrupted ones, until the detectors raise their
alarms.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows, join
from harmgauge.bundle.samples import Samples
from harmgauge.cli.client import Client

SHARES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Successive shares of corrupted inputs."""

STEPS = 20
"""Number of looks at the detectors while one window of rows passes."""

LINE_STEPS = 5

LAST_TEST_SECONDS = 60.0
"""At the end, a detector that tests at its own pace (a hundredth of a core) gets this long."""

UNSEEN = (
    "The estimate of accuracy needs no labels. It is too high for inputs far from every disturbance that it was\n"
    "fitted on{examples}, and under attacks that the bundle does not detect."
)

HARM = "harm"
"""The detector that watches the accuracy estimate."""

_CELL = 14


@dataclass
class _Alarm:
    """Whether a detector is drifting, and when it fired during the demo; None until it did."""

    is_on: bool
    rows: int | None = None
    corrupted: int = 0
    share: float = 0.0
    note: str = ""


@dataclass
class _Progress:
    """The inputs sent so far, and the scores and flags since the last line; `right` holds whether each prediction was
    right, for all inputs, and stays empty if the samples have no labels.
    """

    rows: int = 0
    corrupted: int = 0
    scores: list[float] = field(default_factory=list)
    flags: list[bool] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def true_accuracy(self, rows: int) -> float | None:
        """Accuracy on the newest `rows` inputs; None without labels."""
        newest = self.right[-rows:] if rows else []
        return float(np.mean(newest)) if newest else None


def show_contamination(service: Client, samples: Samples[AnyRows], what: str) -> None:
    """Send the samples, print how the detectors and the accuracy estimate change, and which alarm came first."""
    drift = _drift(service)
    detectors = drift["detectors"]
    window_rows: int = detectors["score_ks"]["window_rows"]
    for name, found in detectors.items():
        if found["state"] == "drifting":
            print_line(
                f"\n{name} was already drifting before this demo, since {found['since']}. To see it fire again, POST "
                "to /admin/drift/reset, or restart the service (with an empty HARMGAUGE_STATE_DIR, if that is set)."
            )
    print_line(
        f"\nEach {what} is a separate request, and a growing share of them is corrupted. Detectors show their p-value "
        "(p) or their\nevidence, and whether they raise an alarm."
    )
    if drift["accuracy"] is None:
        print_line(f"There is no estimate of accuracy: {drift['accuracy_missing']}")
    print_line(_heads(what, drift, has_labels=samples.y is not None))
    alarms = {name: _Alarm(found["state"] == "drifting") for name, found in detectors.items()}
    progress = _Progress()
    step_rows = max(1, window_rows // STEPS)
    for share in SHARES:
        steps = STEPS if share == 0 else STEPS // 2
        for step in range(steps):
            _send(service, samples, progress, step_rows, share)
            drift = _look(service, alarms, progress, share)
            if share == SHARES[-1] and step == steps - 1:
                drift = _look_until_all_tested(service, alarms, progress, share)
            if step % LINE_STEPS == LINE_STEPS - 1:
                _print_step(progress, share, drift)
    if drift["accuracy"] is not None:
        examples = " (for example, rotated or inverted images)" if what == "image" else ""
        print_line(f"\n{UNSEEN.format(examples=examples)}")
    _print_alarms(alarms, what)


def _drift(service: Client) -> dict[str, Any]:
    """The response of `/drift`, with the alarm to act on first among the detectors."""
    drift = service.get("/drift")
    drift["detectors"] = dict(sorted(drift["detectors"].items(), key=lambda item: item[0] != HARM))
    return drift


def _send(service: Client, samples: Samples[AnyRows], progress: _Progress, rows: int, share: float) -> None:
    """Score the next `rows` samples; starts again from the first after the last."""
    picked = np.arange(progress.rows, progress.rows + rows) % len(samples.clean)
    is_corrupted = progress.random.random(rows) < share
    answers = service.score_each(_mixed(samples, picked, is_corrupted), samples.inputs)
    for index, answer in zip(picked, answers, strict=True):
        progress.scores += answer["scores"]
        progress.flags += answer["is_adversarial"]
        if samples.y is not None:
            progress.right.append(answer["predictions"][0] == samples.y[index])
    progress.rows += rows
    progress.corrupted += int(is_corrupted.sum())


def _mixed(samples: Samples[AnyRows], picked: npt.NDArray[np.int64], is_corrupted: npt.NDArray[np.bool_]) -> AnyRows:
    both = join([samples.clean, samples.corrupted])
    return both[picked + len(samples.clean) * is_corrupted]


def _look_until_all_tested(
    service: Client, alarms: dict[str, _Alarm], progress: _Progress, share: float
) -> dict[str, Any]:
    """The last look, once all pending tests have run: a detector that tests only occasionally may still be resting
    after the last image.
    """
    end = time.monotonic() + LAST_TEST_SECONDS
    drift, told = _look(service, alarms, progress, share), False
    while any(_is_due(found) for found in drift["detectors"].values()) and time.monotonic() < end:
        if not told:
            print_line(f"(waiting up to {LAST_TEST_SECONDS:.0f} s for the last test)")
            told = True
        time.sleep(0.2)
        drift = _look(service, alarms, progress, share)
    return drift


def _is_due(found: dict[str, Any]) -> bool:
    """Whether a detector that has not fired will still test rows that are in its window."""
    if "untested_rows" not in found or found["state"] == "drifting" or found["rows"] < found["window_rows"]:
        return False
    return bool(found["untested_rows"] >= found["rows_between_tests"])


def _look(service: Client, alarms: dict[str, _Alarm], progress: _Progress, share: float) -> dict[str, Any]:
    """The current response of `/drift`; records in `alarms` which detectors fire for the first time."""
    drift = _drift(service)
    for name, found in drift["detectors"].items():
        was_on, alarms[name].is_on = alarms[name].is_on, found["state"] == "drifting"
        if alarms[name].is_on and not was_on and alarms[name].rows is None:
            note = _fallen(found, drift["accuracy"], progress) if name == HARM else ""
            alarms[name] = _Alarm(True, progress.rows, progress.corrupted, share, note)
    return drift


def _fallen(harm: dict[str, Any], accuracy: dict[str, Any], progress: _Progress) -> str:
    true = progress.true_accuracy(accuracy["rows"])
    now = f"now {accuracy['estimate']:.1%}" + ("" if true is None else f", true {true:.1%}")
    points = f"{100 * harm['accuracy_drop']:.2g}"
    points += " point" if points == "1" else " points"
    return f":\n  the estimate of accuracy has fallen by more than {points} ({now})"


def _heads(what: str, drift: dict[str, Any], *, has_labels: bool) -> str:
    heads = f"\n{what + 's':>6} {'corrupted':>9}"
    if drift["accuracy"] is not None:
        heads += f"  {'accuracy (90 %)':<20}" + (f" {'true':>6}" if has_labels else "")
    else:
        heads += f" {'mean score':>10}"
    return heads + f" {'flagged':>7}" + "".join(f"  {name:<{_CELL}}" for name in drift["detectors"]).rstrip()


def _print_step(progress: _Progress, share: float, drift: dict[str, Any]) -> None:
    line = f"{progress.rows:>6} {share:>9.0%}"
    accuracy = drift["accuracy"]
    if accuracy is None:
        line += f" {np.mean(progress.scores):>10.4f}"
    else:
        line += f"  {_estimate(accuracy):<20}"
        true = progress.true_accuracy(accuracy["rows"])
        line += "" if true is None else f" {true:>6.1%}"
    cells = "".join(f"  {_cell(found):<{_CELL}}" for found in drift["detectors"].values())
    print_line(f"{line} {np.mean(progress.flags):>7.1%}{cells}".rstrip())
    progress.scores.clear()
    progress.flags.clear()


def _estimate(accuracy: dict[str, Any]) -> str:
    if accuracy["lower"] is None:
        return f"too early ({accuracy['rows']} rows)"
    return f"{accuracy['estimate']:.1%} ({100 * accuracy['lower']:.1f} to {100 * accuracy['upper']:.1f})"


def _cell(found: dict[str, Any]) -> str:
    """The current state of one detector: the figure that its alarm depends on, and whether it is firing."""
    if found["state"] == "warming":
        return f"{found['rows']}/{found['window_rows']} rows"
    if found["p_value"] is None:
        text = f"{found['statistic']:.{3 if found['statistic'] < 1000 else 2}g}"
    elif found["p_value"] > 0:
        text = f"p {found['p_value']:.{2 if found['p_value'] >= 0.001 else 1}g}"
    else:
        text = f"p 1e{math.floor(found['log10_p_value'])}"
    return f"{text} {'ALARM' if found['state'] == 'drifting' else 'ok'}"


def _print_alarms(alarms: dict[str, _Alarm], what: str) -> None:
    """Print which alarm came first, and then each alarm."""
    fired = {name: alarm.rows for name, alarm in alarms.items() if alarm.rows is not None}
    if fired:
        first = min(fired.values())
        names = " and ".join(name for name, rows in fired.items() if rows == first)
        harm = f"; {HARM}, at {what} {fired[HARM]}" if fired.get(HARM, first) > first else ""
        print_line(f"\nFirst alarm: {names}, at {what} {first}{harm}.")
    print_line("")
    for name, alarm in alarms.items():
        when = "was already drifting" if alarm.is_on else "did not fire"
        if alarm.rows is not None:
            when = (
                f"fired at {what} {alarm.rows}, after {alarm.corrupted} corrupted ones, at a share of "
                f"{alarm.share:.0%}{alarm.note}"
            )
        print_line(f"{name} {when}")


def print_line(text: str) -> None:
    """Print one line and flush, so that it also passes through a pipe at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
