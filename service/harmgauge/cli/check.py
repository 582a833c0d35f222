"""`harmgauge check`: describes the bundle that would be served, and checks whether it can be."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from harmgauge.app import validate
from harmgauge.assembly import prepare
from harmgauge.bundle.judgement import judgement_of
from harmgauge.bundle.load import SAMPLES_FILE, Bundle
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.named_inputs import of_many
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.probe_row import probe_rows
from harmgauge.bundle.samples import read_any_samples
from harmgauge.bundle.served_input import InputSpec
from harmgauge.bundle.signature import SignatureState
from harmgauge.drift.folder_lock import use
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import DriftState
from harmgauge.errors import SettingsError
from harmgauge.inference.isolated_probe import BundleLoader
from harmgauge.rollout.compatibility import check_other, check_successor, title
from harmgauge.server.stopping import LAST_SECONDS, LAST_WORDS_SECONDS
from harmgauge.settings import PREFIX, Settings

if TYPE_CHECKING:
    from harmgauge.capture.sinks import Sink

KUBERNETES_GRACE_SECONDS = 30
"""The default of a pod's terminationGracePeriodSeconds."""

_SIGNATURES: dict[SignatureState, str] = {
    "verified": "verified with HARMGAUGE_BUNDLE_PUBLIC_KEY",
    "unchecked": "present, but not verified: HARMGAUGE_BUNDLE_PUBLIC_KEY is not set",
    "none": "none, and HARMGAUGE_BUNDLE_PUBLIC_KEY does not require one",
}


def check(settings: Settings) -> int:
    """Print the settings, verify the bundle, run it once; 0 if all is well. Raises BundleError, SettingsError."""
    say = sys.stdout.write
    say("settings\n")
    for name, field in Settings.model_fields.items():
        origin = "environment" if name in settings.model_fields_set else "default"
        say(f"  {PREFIX}{name.upper()} = {getattr(settings, name)}  ({origin})\n    {field.description}\n")

    valid = validate(settings)
    state_folder = _state_folder(settings)
    loader = BundleLoader(settings)
    bundle = loader.load(settings.bundle)
    manifest = bundle.manifest
    say(f"\nbundle {manifest.name}/{manifest.version}: all {len(manifest.files)} files match their sha256\n")
    say(f"  signature: {_SIGNATURES[bundle.signature]}\n")
    for line in _inputs(manifest):
        say(f"  {line}\n")
    _say_score(manifest, say)
    say(f"  threshold {bundle.threshold:g} (percentile {bundle.threshold_spec.percentile:g}), {bundle.precision}\n")
    say(f"  {_error_probability(bundle)}\n")
    say(f"  {f'features: {manifest.features.width} per instance' if manifest.features else 'no features'}\n")

    prepared = prepare(bundle, settings)
    runtime = prepared.runtime
    rows, what = _rows(bundle)
    begin = time.perf_counter()
    outputs = runtime.run(rows)
    milliseconds = (time.perf_counter() - begin) * 1000
    say(f"\nran on {runtime.providers[0]}: {len(rows)} {what} in {milliseconds:.1f} ms\n")
    say(f"  scores {np.array2string(outputs.score, precision=4, max_line_width=100)}\n")

    say("\ndrift\n")
    for name, state in asyncio.run(Monitor(prepared.detectors).states()).items():
        say(f"  {name}: {_described(state)}\n")
    for detector in prepared.detectors:
        if isinstance(detector, ScoreEvidence):
            say(f"  {detector.detectable.sentence}\n")
            if (warning := detector.detectable.warning) is not None:
                say(f"  warning: {warning}\n")
    if prepared.columns is None:
        say("  no columns: harmgauge calibrate --only columns adds them\n")
    else:
        found = prepared.columns.view()
        say(f"  columns: {len(found.monitored)} with the predicted class; alarm at evidence of {found.threshold:g}\n")
    say(f"  {state_folder}\n")
    _check_capture(settings, valid.sink, say)
    if settings.shadow is not None:
        shadow = loader.load(settings.shadow)
        check_other(bundle, shadow)
        check_successor(manifest, shadow.manifest)
        prepare(shadow, settings)
        say(f"\nshadow {title(shadow)}: runs, and could take over\n")
    say(f"\n{_end_of(settings)}\n")
    say("\nall is well; next: harmgauge serve\n")
    return 0


def _say_score(manifest: Manifest, say: Callable[[str], object]) -> None:
    """Print the detector, the reason for it, and the judgement from when the bundle was built."""
    reason, sentence, worth_serving = judgement_of(manifest)
    shown = [f"{name} {value}" for name, value in manifest.score.items() if reason is None or name != "reason"]
    say(f"  detector {': '.join([manifest.detector, *([', '.join(shown)] if shown else [])])}\n")
    if reason is not None:
        say(f"    why: {reason}\n")
    if sentence is not None:
        say(f"  judged when it was built: {sentence}\n")
    if worth_serving is False:
        say(
            "  warning: the score of this bundle was judged not worth serving; its flags and drift alarms may mean "
            "little: build it again with more rows, without --keep, or with another --detector\n"
        )


def _error_probability(bundle: Bundle) -> str:
    """The figures of the error probability on the rows that it was calibrated on, or why there is none."""
    found = bundle.error_probability
    if found is None:
        return f"no error probability: {bundle.no_error_probability}"
    rows = f"fitted on {found.rows} rows and {found.copies} disturbed copies of each"
    if found.target == "changed":
        target, base = "changed predictions, because there were no labels", f"{1 - found.base:.4f} unchanged"
    else:
        target, base = "wrong predictions", f"accuracy {1 - found.base:.4f}"
    return f"error probability: base {base}, kappa {found.kappa:.3g}; {rows}; target: {target}"


def _end_of(settings: Settings) -> str:
    """How long a shutdown may take, and which settings must allow for it."""
    seconds = settings.lame_duck_seconds + settings.drain_seconds + LAST_WORDS_SECONDS + LAST_SECONDS
    stated = f"shutdown takes up to {seconds:g} s"
    if seconds <= KUBERNETES_GRACE_SECONDS:
        return stated
    return (
        f"{stated}, but Kubernetes kills a pod after {KUBERNETES_GRACE_SECONDS} s by default: raise "
        "terminationGracePeriodSeconds (in Compose, stop_grace_period), or lower HARMGAUGE_LAME_DUCK_SECONDS or "
        "HARMGAUGE_DRAIN_SECONDS"
    )


def _described(state: DriftState) -> str:
    """What a detector without rows compares, and its alarm condition."""
    recent = "all rows so far" if state.window_rows is None else f"the newest {state.window_rows} rows"
    alarms = []
    if state.p_value_threshold is not None:
        alarms.append(f"p <= {state.p_value_threshold:.2g}")
    if state.threshold is not None:
        alarms.append(f"a statistic of {state.threshold:.4g} or more")
    own = [f"; {name} {value}" for name, value in state.details.items() if isinstance(value, int)]
    own += [f"; {name} {value:.4g}" for name, value in state.details.items() if isinstance(value, float) and value]
    return f"{recent} against {state.reference_rows} reference rows; alarm at {', i.e. '.join(alarms)}{''.join(own)}"


def _state_folder(settings: Settings) -> str:
    """Whether the windows survive a restart. Raises SettingsError if their folder cannot be used."""
    folder = settings.state_dir
    if folder is None:
        return "state kept in memory: a restart loses it"
    found = {"free": "", "held": ", in use by a running process", "missing": ", created at start-up"}[use(folder)]
    return f"state kept in {folder}{found}"


def _check_capture(settings: Settings, sink: Sink | None, say: Callable[[str], object]) -> None:
    if sink is None:
        say("\ncapture: off\n")
        return
    try:
        sink.tidy()
    except OSError as error:
        raise SettingsError(f"HARMGAUGE_CAPTURE_DIR={settings.capture_dir} cannot be used: {error}") from error
    say(f"\ncapture: {settings.capture_ratio:.0%} of the flagged inputs to {settings.capture_dir}\n")


def _rows(bundle: Bundle) -> tuple[AnyRows, str]:
    if SAMPLES_FILE in bundle.manifest.files:
        return read_any_samples(bundle).clean[:4], "sample instances"
    what = "synthetic instance" if bundle.reference.probe is None else "trial instance"
    return probe_rows(bundle.manifest.served, bundle.reference, 1), what


def _inputs(manifest: Manifest) -> list[str]:
    """A line for each input, and for a tokenizer."""
    served = manifest.served
    if isinstance(served, InputSpec):
        return [f"input {served.dtype} {served.shape}, {len(manifest.class_names)} classes"]
    lines = [f"{len(manifest.class_names)} classes"]
    for found in served.inputs:
        line = f"input {found.name!r}: {found.dtype} {of_many(found.shape)}"
        line += f", at most {found.maximum}" if found.maximum is not None else ""
        line += (
            f", {len(found.categories)} categories, unknown ones: {found.unknown or 'pass'}" if found.categories else ""
        )
        lines.append(line + (", may be missing" if found.missing else ""))
    return lines if served.tokenizer is None else [*lines, f"texts: tokenized with {served.tokenizer}"]
