"""Counts values of requests that the classifier was not trained on, by column."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.named_inputs import Field, NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows

MAX_COLUMNS = 200
"""Columns with a counter, the first ones; further columns are counted together, as `other`."""

OTHER = "other"


class ValueCounters:
    """Counters for a bundle's columns with categories; none for other bundles."""

    def __init__(self, manifest: Manifest, registry: CollectorRegistry) -> None:
        served = manifest.served
        fields: list[Field] = list(served.fields.values()) if isinstance(served, NamedInputs) else []
        keys = [field.key for field in fields if field.input.categories is not None]
        self._unseen: dict[str, Counter] = {}
        if not keys:
            return
        unseen = Counter(
            "harmgauge_values_unseen",
            "Strings outside the categories of their column, in requests that were answered or refused for it.",
            ["model", "column"],
            registry=registry,
        )
        for at, key in enumerate(keys):
            self._unseen[key] = unseen.labels(manifest.name, key if at < MAX_COLUMNS else OTHER)

    def answered(self, rows: AnyRows) -> None:
        """Count the values of a request that was answered."""
        if isinstance(rows, NamedRows):
            for key, count in rows.unseen.items():
                self._unseen[key].inc(count)

    def refused(self, key: str) -> None:
        """Count the value for which a request was refused; on any thread."""
        self._unseen[key].inc()
