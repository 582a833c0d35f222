"""`harmgauge reference`: creates a new version of the bundle with the service's current scores as its reference.

This is always explicit: a reference that followed the traffic would absorb the drift that it should reveal.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.api.looks import TOTAL_ROWS
from harmgauge.bundle.load import REFERENCE_INT8_FILE, Bundle, load
from harmgauge.bundle.manifest import Manifest, ThresholdSpec
from harmgauge.bundle.npz import read_npy
from harmgauge.bundle.reference import MAX_FEATURES_ROWS, MIN_REFERENCE_ROWS, Reference
from harmgauge.bundle.write import reserve, write_bundle
from harmgauge.cli.client import Client
from harmgauge.drift import isomap, ks
from harmgauge.errors import BundleError, SettingsError
from harmgauge.inference.runtime import verify
from harmgauge.settings import Settings

POLL_SECONDS = 1.0

LOST_POLLS = 60
"""Number of consecutive polls that may fail."""

Say = Callable[[str], None]


def replace_reference(
    settings: Settings, rows: int | None, out: Path | None, version: str | None, *, new_threshold: bool
) -> Path:
    """Record `rows` scores (by default as many as the reference has) and write the bundle's next version with them.

    `out` is the folder for bundles, by default the one that contains the bundle; with `new_threshold` the threshold is
    the old percentile of the new scores. Returns the new bundle's folder. Raises BundleError or SettingsError.
    """
    with Client.of(settings) as service:
        return _replace(service, settings, rows, out, version, new_threshold=new_threshold)


def _replace(
    service: Client, settings: Settings, rows: int | None, out: Path | None, version: str | None, *, new_threshold: bool
) -> Path:
    bundle = load(settings.bundle, settings.precision, settings.bundle_public_key)
    info = service.get("/info")
    if (info["sha256"], info["precision"]) != (bundle.sha256, bundle.precision):
        raise BundleError(
            f"{service.address} serves {info['model']}/{info['version']} in {info['precision']}, which is not "
            f"{settings.bundle} in {bundle.precision}: set HARMGAUGE_BUNDLE and HARMGAUGE_PRECISION to what it serves"
        )
    wanted = len(bundle.reference.scores) if rows is None else rows
    if wanted < MIN_REFERENCE_ROWS:
        raise SettingsError(
            f"--rows {wanted}: a reference needs at least {MIN_REFERENCE_ROWS} scores; 5000 make a good one"
        )
    folder = reserve(out or settings.bundle.resolve().parent.parent, bundle.manifest.name, version)
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    began = datetime.now(UTC)
    scores, features = _record(service, wanted, bundle)
    recorded: dict[str, Any] = {
        "rows": len(scores),
        "from": began.isoformat(timespec="seconds"),
        "to": datetime.now(UTC).isoformat(timespec="seconds"),
        "service": f"{bundle.manifest.name}/{bundle.manifest.version} in {bundle.precision}",
        "bundle_sha256": bundle.sha256,
    }
    _compare(scores, bundle, _say)
    reference = _with_features(replace(bundle.reference, scores=np.sort(scores)), features, _say)
    manifest = _manifest(bundle, reference, recorded, new_threshold=new_threshold)
    contents[bundle.manifest.reference_file if bundle.precision == "float32" else REFERENCE_INT8_FILE] = reference.npz()
    write_bundle(manifest, contents, folder, verify)
    return folder


def _record(
    service: Client, wanted: int, bundle: Bundle
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
    """Record the next `wanted` scores of the service, and up to 1000 rows of features."""
    scores: list[float] = []
    features: list[npt.NDArray[np.float32]] = []
    scores_seen, features_seen = _Seen(), _Seen()
    began, lost = time.monotonic(), 0
    with_features = bundle.reference.features is not None
    while True:
        try:
            detectors = service.get("/drift?scores=true")["detectors"]
            found = detectors["score_ks"]
            scores += scores_seen.fresh(found["scores"], found["total_rows"])
            if with_features and "feature_mmd" in detectors:
                content, headers = service.get_bytes("/drift/features")
                window = read_npy(io.BytesIO(content), len(content))
                features += features_seen.fresh(list(window), int(headers[TOTAL_ROWS]))
                features = features[-MAX_FEATURES_ROWS:]
            if lost and service.get("/info")["sha256"] != bundle.sha256:
                raise BundleError(f"{service.address} was restarted with another bundle: run the command again")
            lost = 0
        except SettingsError:
            # Wait while the service restarts: the rows recorded so far may have taken hours.
            lost += 1
            if lost > LOST_POLLS:
                raise
        _progress(len(scores), wanted, time.monotonic() - began)
        if len(scores) >= wanted:
            break
        time.sleep(POLL_SECONDS)
    return np.array(scores[-wanted:]), np.stack(features) if features else None


class _Seen:
    """Picks the rows of a window that arrived since the last look; rows from before the first look do not count."""

    def __init__(self) -> None:
        self._total: int | None = None

    def fresh(self, window: list[Any], total: int) -> list[Any]:
        """The new rows of `window`, oldest first, which holds the newest of the `total` rows since the detector
        started.
        """
        before = total if self._total is None else self._total
        self._total = total
        new = total - before if total >= before else total  # fewer than before: it restarted
        return window[max(0, len(window) - new) :]


def _compare(scores: npt.NDArray[np.float64], bundle: Bundle, say: Say) -> None:
    """Print how the new normal differs from the old one."""
    result = ks.two_sample(scores, bundle.reference.scores)
    flagged = float((scores.astype(np.float32) > bundle.threshold).mean())
    usual = 1 - bundle.threshold_spec.percentile / 100
    say(
        f"{len(scores)} scores against the old reference: D = {result.statistic:.3f}, p = {result.p_value:.2g}; "
        f"{flagged:.1%} are above the threshold"
    )
    if flagged > 2 * usual:
        say(f"warning: about {usual:.1%} of normal data would be; should this traffic be the new normal?")


def _with_features(reference: Reference, features: npt.NDArray[np.float32] | None, say: Say) -> Reference:
    if features is None or len(features) < MIN_REFERENCE_ROWS:
        if reference.features is not None:
            say("the features of the old reference are kept: too few new ones were recorded")
        return reference
    try:
        embedding, neighbours = isomap.fit(features)
    except (ImportError, ValueError) as error:
        say(f"no embedding of the new features ({error}); it requires scikit-learn")
        return replace(reference, features=features, embedding=None, neighbours=None)
    return replace(reference, features=features, embedding=embedding, neighbours=neighbours)


def _manifest(bundle: Bundle, reference: Reference, recorded: dict[str, Any], *, new_threshold: bool) -> Manifest:
    manifest = bundle.manifest
    changes: dict[str, Any] = {"made": {**manifest.made, "reference": recorded}}
    if bundle.precision == "float32":
        drift = manifest.drift
        statistic = ks.statistic_threshold(drift.window_rows, len(reference.scores), drift.p_value_threshold)
        changes["drift"] = drift.model_copy(update={"statistic_threshold": statistic})
    if new_threshold:
        changes["quality"] = {name: value for name, value in manifest.quality.items() if name != "calibration_flagged"}
        percentile = bundle.threshold_spec.percentile
        threshold = ThresholdSpec(
            value=float(np.float32(np.percentile(reference.scores, percentile))),
            percentile=percentile,
            rows=len(reference.scores),
            source=f"{recorded['rows']} scores in service from {recorded['from']} to {recorded['to']}",
        )
        if manifest.int8 is not None and bundle.precision == "int8":
            changes["int8"] = manifest.int8.model_copy(update={"threshold": threshold})
        else:
            changes["threshold"] = threshold
    return manifest.model_copy(update=changes)


def _progress(done: int, wanted: int, seconds: float) -> None:
    """A progress bar with the time left, on standard error; one line a minute if that is not a terminal."""
    share = min(1.0, done / wanted)
    left = f"{seconds / share * (1 - share):.0f} s left" if share else "waiting for traffic"
    bar = "#" * round(30 * share)
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{bar:<30} {min(done, wanted)}/{wanted} scores, {left:<24}" + "\n" * (share >= 1))
    elif share >= 1 or seconds % 60 < POLL_SECONDS:
        sys.stderr.write(f"{min(done, wanted)}/{wanted} scores, {left}\n")
    sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
