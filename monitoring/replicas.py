"""The row about the serving side: bundles over time, and the replicas with links to their pages."""

from __future__ import annotations

from grafana_foundation_sdk.builders import prometheus, table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.panels import HEIGHT, SOURCE, Panel, Query, State, stacked, states
from monitoring.selectors import of_replicas

_PAGE = {"title": "Open the live page", "url": "http://${__value.text}/", "targetBlank": True}

READY_STATES = (State(1, "ready", "green"), State(0, "not ready", "red"))


def panels() -> list[Panel | table.Panel]:
    return [
        stacked(
            "Versions in service",
            "short",
            "Replicas by the bundle that they serve. If there are two for longer than a rollout, answers depend on "
            "which replica is asked, and HarmgaugeBundleMismatch fires.",
            Query(f"count by (version, sha256) ({of_replicas('harmgauge_bundle_info')})", "{{version}} {{sha256}}"),
        )
        .min(0)
        .decimals(0),
        states(
            "Readiness",
            "Whether each replica accepts requests. In gaps it was not scraped. If it is not ready for long, its log "
            "has the reason.",
            Query(of_replicas("harmgauge_ready"), "{{instance}}"),
            states=READY_STATES,
        ),
        table.Panel()
        .title("Replicas")
        .description(
            "The bundle of each replica; its address links to its live page, if your browser can reach it. If a sha256 "
            "differs from the others, the replica has old files or a different image: replace it."
        )
        .unit("none")
        .datasource(SOURCE)
        .span(8)
        .height(HEIGHT)
        .with_target(
            prometheus.Dataquery()
            .ref_id("A")
            .datasource(SOURCE)
            .expr(of_replicas("harmgauge_bundle_info"))
            .instant()
            .format(PromQueryFormat.TABLE)
        )
        .with_transformation(
            DataTransformerConfig(
                "filterFieldsByName", options={"include": {"names": ["instance", "version", "sha256", "detector"]}}
            )
        )
        .override_by_name("instance", [DynamicConfigValue("links", [_PAGE])]),
    ]
