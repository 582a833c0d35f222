"""Metrics of sources: none without them, two numbers with them, and the drifting ones by name, up to a limit."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from harmgauge.observe.source_metrics import MOST_SERIES, SourceCollector
from tests.support.source_streams import Traffic, monitored, names


def exported(collector: SourceCollector) -> dict[str, list[tuple[dict[str, str], float]]]:
    registry = CollectorRegistry()
    registry.register(collector)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("harmgauge_"), []).append((sample.labels, sample.value))
    return found


def test_drifting_ones_are_exported_by_name() -> None:
    collector = SourceCollector("m")
    assert exported(collector) == {}
    found = monitored(between=1000, with_harm=True)
    collector.view = found.view()
    assert exported(collector) == {"sources": [({"model": "m"}, 0)], "sources_drifting": [({"model": "m"}, 0)]}
    sources = (("", 'say "cheese"\\'.replace(" ", "-")), *names(MOST_SERIES + 20, "key"))
    traffic = Traffic(sources, with_p=True)
    traffic.harmful[:] = 1
    found.observe(traffic.requests(60))
    collector.view = found.view()
    now = exported(collector)
    assert now["sources_drifting"] == [({"model": "m"}, MOST_SERIES + 21)]
    assert len(now["source_drifting"]) == MOST_SERIES
    view = collector.view
    top = view.states(view.select()[:MOST_SERIES])
    assert {labels["source"] for labels, _ in now["source_drifting"]} == {state.source for state in top}
    assert {value for _, value in now["source_drifting"]} == {1}
