"""Events drawn over every panel: alarms, and newly served bundles."""

from __future__ import annotations

from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import dashboard

from monitoring.panels import SOURCE
from monitoring.selectors import FLEET, of_detectors, of_replicas


class PrometheusAnnotation(dashboard.AnnotationQuery, builder.Builder[dashboard.AnnotationQuery]):
    """An annotation with the text fields of Grafana's Prometheus data source, which the SDK lacks."""

    def __init__(self, name: str, colour: str, expr: str, title: str, text: str) -> None:
        super().__init__(name=name, datasource=SOURCE, enable=True, icon_color=colour, expr=expr)
        self._formats = {"titleFormat": title, "textFormat": text, "step": "60s"}

    def build(self) -> dashboard.AnnotationQuery:
        return self

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self._formats


def events() -> list[PrometheusAnnotation]:
    fleet_of_any_alert = FLEET.replace('model="$model"', 'model=~"$model|"')  # some alerts have no model label
    info = of_replicas("harmgauge_bundle_info")
    by = "by (model, version, sha256)"
    return [
        PrometheusAnnotation(
            "Alerts",
            "red",
            f'ALERTS{{alertname=~"Harmgauge.+", alertstate="firing", {fleet_of_any_alert}}}',
            "{{alertname}}",
            "{{severity}} {{model}} {{instance}}",
        ),
        PrometheusAnnotation(
            "Drift alarms",
            "orange",
            f"{of_detectors('harmgauge_drift_detected')} == 1",
            "{{detector}}",
            "{{instance}}",
        ),
        PrometheusAnnotation(
            "Bundle changes",
            "blue",
            # "New" lasts five minutes: over a month Grafana uses steps of four minutes, which must not skip it.
            f"group {by} ({info}) unless group {by} (last_over_time({info}[1h] offset 5m))",
            "Bundle {{version}}",
            "sha256 {{sha256}}",
        ),
    ]
