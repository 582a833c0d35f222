"""Sets up the capture of flagged inputs according to the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.metrics import CaptureMetrics
from harmgauge.errors import SettingsError
from harmgauge.settings import Settings

if TYPE_CHECKING:
    from harmgauge.capture.capture import Capture
    from harmgauge.capture.sinks import Sink
    from harmgauge.capture.table import Kept


def open_capture(
    settings: Settings, sink: Sink | None, manifest: Manifest, registry: CollectorRegistry
) -> Capture | None:
    """None if capture is off; its metrics exist nevertheless."""
    metrics = CaptureMetrics(registry, manifest.name)
    if sink is None or settings.capture_dir is None:
        return None
    from harmgauge.capture.capture import Capture  # noqa: PLC0415 - an extra: most do without it
    from harmgauge.capture.writer import Writer  # noqa: PLC0415

    writer = Writer(
        sink,
        settings.capture_dir,
        _kept(manifest, settings.capture_excluded_columns),
        metrics,
        file_bytes=settings.capture_file_bytes,
        file_seconds=settings.capture_file_seconds,
    )
    return Capture(writer, metrics, settings.capture_ratio, settings.capture_queue_bytes)


def _kept(manifest: Manifest, excluded: tuple[str, ...]) -> Kept:
    """How inputs are kept. Raises SettingsError for a column to exclude that the bundle does not have."""
    from harmgauge.capture.named_columns import NamedColumns  # noqa: PLC0415 - an extra

    served = manifest.served
    inputs = served.by_column if isinstance(served, InputSpec) else served
    if inputs is None or (isinstance(served, InputSpec) and not excluded):
        if excluded:
            raise SettingsError("HARMGAUGE_CAPTURE_EXCLUDED_COLUMNS: the bundle's input has no column names: unset it")
        assert isinstance(served, InputSpec)
        return served
    unknown = next((name for name in excluded if name not in inputs.fields), None)
    if unknown is not None:
        raise SettingsError(
            f"HARMGAUGE_CAPTURE_EXCLUDED_COLUMNS: the bundle has no column {unknown!r}; it has "
            f"{', '.join(list(inputs.fields)[:20])}"
        )
    return NamedColumns(inputs=inputs, excluded=excluded, from_array=isinstance(served, InputSpec))


def open_sink(settings: Settings) -> Sink | None:
    """The place for captured files; None if there are none. Raises SettingsError."""
    address = settings.capture_dir
    if address is None:
        return None
    try:
        from harmgauge.capture.sinks import Folder, Remote, is_remote, local_path  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            f"HARMGAUGE_CAPTURE_DIR requires Arrow ({error}): pip install 'harmgauge[capture]'"
        ) from error
    if settings.capture_queue_bytes < settings.capture_file_bytes:
        raise SettingsError(
            f"HARMGAUGE_CAPTURE_QUEUE_BYTES={settings.capture_queue_bytes} is smaller than "
            f"HARMGAUGE_CAPTURE_FILE_BYTES={settings.capture_file_bytes}: raise the first or lower the second"
        )
    if is_remote(address):
        for name in ("capture_max_bytes", "capture_max_age_seconds"):
            if name in settings.model_fields_set:
                raise SettingsError(
                    f"HARMGAUGE_{name.upper()} is for a folder, and {address} is not one: unset it, and give the "
                    "object store a rule that deletes old files"
                )
        return Remote(address)
    if settings.capture_max_bytes < 2 * settings.capture_file_bytes:
        raise SettingsError(
            f"HARMGAUGE_CAPTURE_MAX_BYTES={settings.capture_max_bytes} has no room for two files of "
            f"HARMGAUGE_CAPTURE_FILE_BYTES={settings.capture_file_bytes}: raise the first or lower the second"
        )
    return Folder(local_path(address), settings.capture_max_bytes, settings.capture_max_age_seconds)
