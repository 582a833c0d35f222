"""`harmgauge check`: what would be served, and whether it can be."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from harmgauge.app import max_bodies_bytes, tracing
from harmgauge.auth import from_settings
from harmgauge.bundle.load import SAMPLES_FILE, Bundle, load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import read_samples
from harmgauge.bundle.signature import SignatureState
from harmgauge.capture.setup import open_sink
from harmgauge.drift.from_bundle import feature_mmd, score_evidence, score_ks
from harmgauge.errors import SettingsError
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.rollout.compatibility import check_other, check_successor, title
from harmgauge.settings import PREFIX, Settings

_SIGNATURES: dict[SignatureState, str] = {
    "verified": "verified with HARMGAUGE_BUNDLE_PUBLIC_KEY",
    "unchecked": "there is one, and no HARMGAUGE_BUNDLE_PUBLIC_KEY to verify it with",
    "none": "none, and no HARMGAUGE_BUNDLE_PUBLIC_KEY asks for one",
}


def check(settings: Settings) -> int:
    """Print the settings, verify the bundle, run it once; 0 if all is well. Raises BundleError, SettingsError."""
    say = sys.stdout.write
    say("settings\n")
    for name, field in Settings.model_fields.items():
        origin = "environment" if name in settings.model_fields_set else "default"
        say(f"  {PREFIX}{name.upper()} = {getattr(settings, name)}  ({origin})\n    {field.description}\n")

    from_settings.authorizer(settings)
    from_settings.tls_files(settings)
    tracing(settings)
    bundle = load(settings.bundle, settings.precision, settings.bundle_public_key)
    manifest = bundle.manifest
    say(f"\nbundle {manifest.name}/{manifest.version}: all {len(manifest.files)} files match their sha256\n")
    say(f"  signature: {_SIGNATURES[bundle.signature]}\n")
    say(f"  input {manifest.input.dtype} {manifest.input.shape}, {len(manifest.class_names)} classes\n")
    say(f"  {manifest.detector}, {manifest.loss}, temperature {manifest.temperature:g}\n")
    say(f"  threshold {bundle.threshold:g} (percentile {bundle.threshold_spec.percentile:g}), {bundle.precision}\n")

    runtime = OnnxRuntime(bundle, settings.providers, settings.max_batch_rows, features=settings.feature_mmd)
    rows, what = _rows(bundle)
    begin = time.perf_counter()
    outputs = runtime.run(rows)
    milliseconds = (time.perf_counter() - begin) * 1000
    say(f"\nran on {runtime.providers[0]}: {len(rows)} {what} in {milliseconds:.1f} ms\n")
    say(f"  scores {np.array2string(outputs.score, precision=4, max_line_width=100)}\n")

    monitor = score_ks(bundle, settings)
    score_evidence(bundle, settings)
    mmd = feature_mmd(bundle, settings)
    max_bodies_bytes(settings)
    say(
        f"\ndrift: {monitor.window_rows} recent scores against {len(bundle.reference.scores)} reference scores; "
        f"alarm at D >= {monitor.threshold:.4g}\n"
    )
    width = manifest.features.width if manifest.features else 0
    say(
        f"  {width} features an instance, {settings.feature_window_rows} rows of them tested every "
        f"{mmd.rows_between_tests} rows\n"
        if mmd
        else "  no features: feature_mmd is off\n"
    )
    _check_capture(settings, say)
    if settings.shadow is not None:
        shadow = load(settings.shadow, settings.precision, settings.bundle_public_key)
        check_other(bundle, shadow)
        check_successor(manifest, shadow.manifest)
        OnnxRuntime(shadow, settings.providers, settings.max_batch_rows, features=settings.feature_mmd)
        say(f"\nshadow {title(shadow)}: it runs, and could take over\n")
    say("\nall is well; next: harmgauge serve\n")
    return 0


def _check_capture(settings: Settings, say: Callable[[str], object]) -> None:
    place = open_sink(settings)
    if place is None:
        say("\ncapture: off\n")
        return
    try:
        place.tidy()
    except OSError as error:
        raise SettingsError(f"HARMGAUGE_CAPTURE_DIR={settings.capture_dir} cannot be used: {error}") from error
    say(f"\ncapture: {settings.capture_ratio:.0%} of the flagged inputs to {settings.capture_dir}\n")


def _rows(bundle: Bundle) -> tuple[Rows, str]:
    spec = bundle.manifest.input
    if SAMPLES_FILE in bundle.manifest.files:
        return read_samples(bundle).clean[:4], "sample instances"
    return np.full((1, *spec.shape), spec.minimum or 0, spec.numpy_dtype), "made-up instance"
