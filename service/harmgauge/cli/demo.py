"""`harmgauge demo`: real clean inputs, then more and more corrupted ones among them, sent to a running service."""

from __future__ import annotations

import math
import os
import socket
import subprocess  # nosec B404
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import Samples, read_samples
from harmgauge.cli.client import Client
from harmgauge.errors import BundleError, SettingsError
from harmgauge.settings import PREFIX, Settings

SHARES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the inputs that are corrupted, one after the other."""

STEPS = 20
"""Looks at the detectors while as many rows pass as the window holds."""

LINE_STEPS = 5

LAST_TEST_SECONDS = 60.0
"""At the end, a detector that tests at its own pace (a few hundredths of a core) gets this long."""


@dataclass
class _Alarm:
    """Whether a detector is drifting, and when it began to while we looked; None until it did."""

    is_on: bool
    rows: int | None = None
    corrupted: int = 0
    share: float = 0.0


@dataclass
class _Progress:
    """What was sent so far, and the scores and flags since the last line."""

    rows: int = 0
    corrupted: int = 0
    scores: list[float] = field(default_factory=list)
    flags: list[bool] = field(default_factory=list)


def demo(settings: Settings) -> int:
    """Send clean inputs, then rising shares of corrupted ones, and print when each detector fires."""
    address = _show(settings)
    print_line(f"\nNext: {address} in a browser, {address}/drift, {address}/metrics")
    return 0


def _show(settings: Settings) -> str:
    """The demo against the running service; returns its address."""
    with Client.of(settings) as service:
        info = service.get("/info")
        bundle = load(settings.bundle, public_keys=settings.bundle_public_key)
        if (info["model"], info["sha256"]) != (bundle.manifest.name, bundle.sha256):
            raise BundleError(
                f"{service.address} serves {info['model']}/{info['version']}, which is not {settings.bundle}: "
                "set HARMGAUGE_BUNDLE to its bundle"
            )
        samples = read_samples(bundle)
        print_line(
            f"{service.address} serves {info['model']}/{info['version']}; flagged is score > {info['threshold']:.3f}\n"
        )
        what = "image" if bundle.manifest.input.image else "row"
        _show_single_inputs(service, samples, info["class_names"], what)
        _show_contamination(service, samples, what)
    return service.address


def demo_with_service(settings: Settings) -> int:
    """`demo` against a service of its own, on a free port of this machine and without keys."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What this process was told, but on loopback and without state: nothing of an earlier run, nothing left behind.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = {"BUNDLE": settings.bundle, "PROVIDERS": settings.providers, "PRECISION": settings.precision, "PORT": port}
    environment = kept | {f"{PREFIX}{name}": str(value) for name, value in own.items()}
    print_line(f"starting a service for the demo on http://127.0.0.1:{port} ...")
    with tempfile.TemporaryFile() as log:
        service = subprocess.Popen(  # nosec B603  # our own command
            [sys.executable, "-m", "harmgauge", "serve"], env=environment, stdout=log, stderr=log
        )
        try:
            if not _gets_ready(service, port):
                log.seek(0)
                raise SettingsError(f"the service did not start: {log.read().decode(errors='replace').strip()}")
            _show(settings.model_copy(update={"host": "127.0.0.1", "port": port, "tls_certificate": None}))
        finally:
            service.terminate()
            service.wait()
    print_line("\nNext: harmgauge serve, and its page in a browser")
    return 0


def _gets_ready(service: subprocess.Popen[bytes], port: int) -> bool:
    with Client(f"http://127.0.0.1:{port}") as client:
        while service.poll() is None:
            try:
                client.get("/readyz")
            except SettingsError:
                time.sleep(0.1)
            else:
                return True
    return False


def _show_single_inputs(service: Client, samples: Samples, names: list[str], what: str) -> None:
    heads = ("score", "flag", "prediction")
    print_line(f"{'':>5}  {'':<12}{'clean':<28}corrupted")
    print_line(f"{what:>5}  {'label':<12}" + 2 * f"{heads[0]:<8}{heads[1]:<6}{heads[2]:<14}")
    for index in range(min(6, len(samples.clean))):
        label = int(samples.y[index]) if samples.y is not None else -1
        cells = [f"{index:>5}  {names[label] if 0 <= label < len(names) else '-':<12}"]
        for rows in (samples.clean, samples.corrupted):
            answer = service.score(rows[index : index + 1])
            flag = "FLAG" if answer["is_adversarial"][0] else "ok"
            cells.append(f"{answer['scores'][0]:<8.4f}{flag:<6}{names[answer['predictions'][0]]:<14}")
        print_line("".join(cells))


def _show_contamination(service: Client, samples: Samples, what: str) -> None:
    detectors = service.get("/drift")["detectors"]
    window_rows: int = detectors["score_ks"]["window_rows"]
    for name, found in detectors.items():
        if found["state"] == "drifting":
            print_line(
                f"\n{name} has been drifting since {found['since']}, before this demo. To see it fire anew, POST to "
                "/admin/drift/reset, or start the service again (with an empty HARMGAUGE_STATE_DIR, if that is set)."
            )
    print_line(
        f"\nEach {what} is a request of its own, and more and more of them are corrupted.\n\n"
        f"{what + 's':>6} {'corrupted':>9} {'mean score':>10} {'flagged':>7}"
        + "".join(f"  {name:<24}" for name in detectors)
    )
    alarms = {name: _Alarm(found["state"] == "drifting") for name, found in detectors.items()}
    progress, random = _Progress(), np.random.default_rng(0)
    step_rows = max(1, window_rows // STEPS)
    for share in SHARES:
        steps = STEPS if share == 0 else STEPS // 2
        for step in range(steps):
            picked, is_corrupted = _pick(samples, step_rows, share, progress.rows, random)
            for answer in service.score_each(picked):
                progress.scores += answer["scores"]
                progress.flags += answer["is_adversarial"]
            progress.rows += step_rows
            progress.corrupted += int(is_corrupted.sum())
            states = _look(service, alarms, progress, share)
            if share == SHARES[-1] and step == steps - 1:
                states = _look_until_all_tested(service, alarms, progress, share)
            if step % LINE_STEPS == LINE_STEPS - 1:
                _print_step(progress, share, states)
    print_line("")
    for name, alarm in alarms.items():
        when = "was drifting before" if alarm.is_on else "did not fire"
        if alarm.rows is not None:
            when = (
                f"fired at {what} {alarm.rows}, after {alarm.corrupted} corrupted ones, at a share of {alarm.share:.0%}"
            )
        print_line(f"{name} {when}")


def _look_until_all_tested(
    service: Client, alarms: dict[str, _Alarm], progress: _Progress, share: float
) -> dict[str, dict[str, Any]]:
    """The last states, once no test is due: a detector that tests now and then may rest after the last image."""
    end = time.monotonic() + LAST_TEST_SECONDS
    states, told = _look(service, alarms, progress, share), False
    while any(_is_due(found) for found in states.values()) and time.monotonic() < end:
        if not told:
            print_line(f"(waiting up to {LAST_TEST_SECONDS:.0f} s for a test that is due)")
            told = True
        time.sleep(0.2)
        states = _look(service, alarms, progress, share)
    return states


def _is_due(found: dict[str, Any]) -> bool:
    """Whether the detector, which has not fired, will test rows that are in its window already."""
    if "untested_rows" not in found or found["state"] == "drifting" or found["rows"] < found["window_rows"]:
        return False
    return bool(found["untested_rows"] >= found["rows_between_tests"])


def _look(service: Client, alarms: dict[str, _Alarm], progress: _Progress, share: float) -> dict[str, dict[str, Any]]:
    """The detectors' states now; notes in `alarms` which of them fire for the first time."""
    states: dict[str, dict[str, Any]] = service.get("/drift")["detectors"]
    for name, found in states.items():
        was_on, alarms[name].is_on = alarms[name].is_on, found["state"] == "drifting"
        if alarms[name].is_on and not was_on and alarms[name].rows is None:
            alarms[name] = _Alarm(True, progress.rows, progress.corrupted, share)
    return states


def _pick(
    samples: Samples, rows: int, share: float, start: int, random: np.random.Generator
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """The next rows, and which of them are corrupted; from the first again when all were sent."""
    picked = np.arange(start, start + rows) % len(samples.clean)
    is_corrupted = random.random(rows) < share
    column = is_corrupted.reshape(-1, *[1] * (samples.clean.ndim - 1))
    return np.where(column, samples.corrupted[picked], samples.clean[picked]), is_corrupted


def _print_step(progress: _Progress, share: float, states: dict[str, dict[str, Any]]) -> None:
    print_line(
        f"{progress.rows:>6} {share:>9.0%} {np.mean(progress.scores):>10.4f} {np.mean(progress.flags):>7.1%}"
        + "".join(f"  {_cell(found):<24}" for found in states.values())
    )
    progress.scores.clear()
    progress.flags.clear()


def _cell(found: dict[str, Any]) -> str:
    """One detector as it stands: what its alarm goes by, and whether that is given."""
    if found["state"] == "warming":
        return f"warming {found['rows']}/{found['window_rows']}"
    if found["p_value"] is None:
        text = f"evidence {found['statistic']:.3g}"
    elif found["p_value"] > 0:
        text = f"p {found['p_value']:.2g}"
    else:
        text = f"p 1e{math.floor(found['log10_p_value'])}"
    return f"{text} {'ALARM' if found['state'] == 'drifting' else 'ok'}"


def print_line(text: str) -> None:
    """One line at once, also through a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
