"""`harmgauge reference`: creates a new version of the bundle with the service's current scores as its reference, or
(`--more`) with the old reference and the current scores together.

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
from harmgauge.drift.detectable import Detectable
from harmgauge.errors import BundleError, SettingsError
from harmgauge.inference.runtime import verify
from harmgauge.settings import Settings

POLL_SECONDS = 1.0

LOST_POLLS = 60
"""Number of consecutive polls that may fail."""

Say = Callable[[str], None]


UNLIKE = 0.001
"""Scores whose p-value against the old reference is below this do not come from its distribution."""


def replace_reference(
    settings: Settings,
    rows: int | None,
    out: Path | None,
    version: str | None,
    *,
    adds: bool = False,
    new_threshold: bool = False,
) -> Path:
    """Record `rows` scores (by default as many as the reference has) and write the bundle's next version with them.

    `out` is the folder for bundles, by default the one that contains the bundle. With `adds`, the old reference is kept
    and the new scores are added to it. With `new_threshold`, the threshold is the old percentile of the new reference.
    Returns the new bundle's folder. Raises BundleError or SettingsError.
    """
    with Client.of(settings) as service:
        return _replace(service, settings, rows, out, version, adds=adds, new_threshold=new_threshold)


def _replace(
    service: Client,
    settings: Settings,
    rows: int | None,
    out: Path | None,
    version: str | None,
    *,
    adds: bool,
    new_threshold: bool,
) -> Path:
    bundle = load(settings.bundle, settings.precision, settings.bundle_public_key)
    info = service.get("/info")
    if (info["sha256"], info["precision"]) != (bundle.sha256, bundle.precision):
        raise BundleError(
            f"{service.address} serves {info['model']}/{info['version']} in {info['precision']}, which is not "
            f"{settings.bundle} in {bundle.precision}: set HARMGAUGE_BUNDLE and HARMGAUGE_PRECISION to what it serves"
        )
    old = bundle.reference
    wanted = len(old.scores) if rows is None else rows
    if adds and wanted < 1:
        raise SettingsError(f"--more {wanted}: expected at least 1 score to add")
    if not adds and wanted < MIN_REFERENCE_ROWS:
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
    if adds:
        recorded |= {"added_to_rows": len(old.scores), "added_to": bundle.manifest.made.get("reference")}
    _compare(scores, bundle, _say, adds=adds)
    scores = np.concatenate([old.scores, scores]) if adds else scores
    reference = replace(old, scores=np.sort(scores))
    reference = _with_more_features(reference, features, _say) if adds else _with_features(reference, features, _say)
    manifest = _manifest(bundle, reference, recorded, new_threshold=new_threshold)
    contents[bundle.manifest.reference_file if bundle.precision == "float32" else REFERENCE_INT8_FILE] = reference.npz()
    write_bundle(manifest, contents, folder, verify)
    if bundle.sketches is not None:
        _say(
            "the columns are still compared with those of the old reference: harmgauge calibrate --only columns "
            "makes them again from rows of the new normal"
        )
    between = settings.rows_between_false_alarms or manifest.drift.rows_between_false_alarms
    detectable = Detectable(len(reference.scores), settings.tolerance, between)
    _say(detectable.sentence)
    if detectable.warning is not None:
        _say(f"warning: {detectable.warning}")
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


def _compare(scores: npt.NDArray[np.float64], bundle: Bundle, say: Say, *, adds: bool) -> None:
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
    if adds and result.p_value < UNLIKE:
        say(
            "warning: the new scores do not come from the distribution of the old reference, so both together describe "
            "neither the old normal nor the new one. Record a new reference instead, with --rows"
        )


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


def _with_more_features(reference: Reference, features: npt.NDArray[np.float32] | None, say: Say) -> Reference:
    """Fill up the features to MAX_FEATURES_ROWS, the newest last."""
    if reference.features is None or features is None:
        return reference
    room = MAX_FEATURES_ROWS - len(reference.features)
    if not room:
        return reference
    filled = _with_features(reference, np.concatenate([reference.features, features[-room:]]), say)
    return reference if filled.embedding is None and reference.embedding is not None else filled


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
            source=f"{_added_to(recorded)}{recorded['rows']} scores in service from {recorded['from']} to "
            f"{recorded['to']}",
        )
        if manifest.int8 is not None and bundle.precision == "int8":
            changes["int8"] = manifest.int8.model_copy(update={"threshold": threshold})
        else:
            changes["threshold"] = threshold
    return manifest.model_copy(update=changes)


def _added_to(recorded: dict[str, Any]) -> str:
    return f"{recorded['added_to_rows']} earlier reference scores and " if "added_to_rows" in recorded else ""


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
