"""The dashboard's variables, chosen at its top."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from monitoring.panels import SOURCE

_FLEET = 'harmgauge_bundle_info{namespace=~"$namespace", job=~"$job", model="$model"}'


def variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    """The variables, each of which depends on those before it."""
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _all_or_some("namespace", "Namespace", "label_values(harmgauge_bundle_info, namespace)"),
        _all_or_some("job", "Job", 'label_values(harmgauge_bundle_info{namespace=~"$namespace"}, job)'),
        # One at a time: scores of two models are not comparable.
        _labels("model", "Model", 'label_values(harmgauge_bundle_info{namespace=~"$namespace", job=~"$job"}, model)'),
        _all_or_some(
            "detector", "Detector", f"label_values({_FLEET.replace('bundle_info', 'drift_detected')}, detector)"
        ),
        _all_or_some("instance", "Replica", f"label_values({_FLEET}, instance)"),
    ]


def _labels(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _all_or_some(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """ "All" is `.*`, which also matches series without the label."""
    all_of_them = VariableOption(selected=True, text=["All"], value=["$__all"])
    return _labels(name, label, query).multi(True).include_all(True).all_value(".*").current(all_of_them)
