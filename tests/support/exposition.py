"""The text of /metrics, parsed only as far as a test reads it: parsing everything takes longer than the scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = list[tuple[dict[str, str], float]]
"""Labels (without `model`) and value."""


class Exposition(Mapping[str, Samples]):
    """The samples by name."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name = line.partition(" ")[0].partition("{")[0]
                self._lines.setdefault(name, []).append(line)

    def __getitem__(self, name: str) -> Samples:
        return [
            ({label: value for label, value in sample.labels.items() if label != "model"}, sample.value)
            for family in text_string_to_metric_families("\n".join([*self._lines[name], ""]))
            for sample in family.samples
        ]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)
