"""The kinds of panel: each has a title, a unit and a description of what to do when it looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef("prometheus", "${datasource}")

HEIGHT = 8
STAT_HEIGHT = 4

THRESHOLD, REFERENCE = "/alarm|threshold/", "/reference/"
"""Legends of threshold and reference series, which are drawn dashed and dotted."""

Panel = timeseries.Panel | stat.Panel | statetimeline.Panel | heatmap.Panel
AnyPanel = TypeVar("AnyPanel", timeseries.Panel, stat.Panel, statetimeline.Panel, heatmap.Panel)


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series: Grafana substitutes labels for {{label}}."""

    expr: str
    legend: str


@dataclass(frozen=True)
class State:
    """A value with its own label."""

    value: int
    text: str
    colour: str


def lines(title: str, unit: str, description: str, *queries: Query, width: int = 8) -> timeseries.Panel:
    """Values over time; `unit` is one of Grafana's."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .line_width(1)
        .show_points(VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .override_by_regexp(
            THRESHOLD,
            [
                DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
                DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
            ],
        )
        .override_by_regexp(REFERENCE, [DynamicConfigValue("custom.lineStyle", {"fill": "dot", "dash": [1, 6]})])
    )
    return _panel(panel, title, description, queries, width=width, height=HEIGHT)


def band(panel: timeseries.Panel, lower: str, upper: str) -> timeseries.Panel:
    """Fill between the two series of these legends, in place of their lines."""
    line = DynamicConfigValue("custom.lineWidth", 0)
    fill = [DynamicConfigValue("custom.fillBelowTo", lower), DynamicConfigValue("custom.fillOpacity", 20)]
    return panel.override_by_name(upper, [line, *fill]).override_by_name(lower, [line])


def log_lines(title: str, unit: str, description: str, *queries: Query, width: int = 8) -> timeseries.Panel:
    """Values over time that span many powers of ten; all must be above 0."""
    log10 = common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10)
    return lines(title, unit, description, *queries, width=width).scale_distribution(log10)


def stacked(title: str, unit: str, description: str, *queries: Query, width: int = 8) -> timeseries.Panel:
    """Parts of a whole over time."""
    return (
        lines(title, unit, description, *queries, width=width)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        .fill_opacity(40)
    )


def bars(title: str, unit: str, description: str, *queries: Query, width: int = 8) -> timeseries.Panel:
    """Events, which are rare."""
    return (
        lines(title, unit, description, *queries, width=width).draw_style(GraphDrawStyle.BARS).fill_opacity(80).min(0)
    )


def states(
    title: str, description: str, *queries: Query, states: tuple[State, ...], width: int = 8
) -> statetimeline.Panel:
    """The state of each series over time."""
    panel = statetimeline.Panel().unit("none").mappings([_mapping(states)]).show_value(VisibilityMode.NEVER)
    return _panel(panel, title, description, queries, width=width, height=HEIGHT)


def number(title: str, unit: str, description: str, *queries: Query, width: int = 4) -> stat.Panel:
    """The newest value."""
    panel = (
        stat.Panel()
        .unit(unit)
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(_thresholds(Threshold(None, "blue")))  # without any, Grafana turns 80 and more red
    )
    return _panel(panel, title, description, queries, width=width, height=STAT_HEIGHT)


def state_number(title: str, description: str, query: Query, states: tuple[State, ...]) -> stat.Panel:
    """The current state."""
    return number(title, "none", description, query).mappings([_mapping(states)]).graph_mode(BigValueGraphMode.NONE)


def limits(panel: stat.Panel, warning: float, critical: float) -> stat.Panel:
    """Colour the number from these limits on."""
    return panel.thresholds(
        _thresholds(Threshold(None, "green"), Threshold(warning, "orange"), Threshold(critical, "red"))
    )


def buckets(title: str, unit: str, description: str, query: Query, *, axis: str, width: int = 8) -> heatmap.Panel:
    """Number of observations in each bucket of a histogram over time; `unit` is that of the buckets."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_label(axis))
        .cell_gap(0)
        .unit("short")
    )
    return _panel(panel, title, description, [query], width=width, height=HEIGHT, form=PromQueryFormat.HEATMAP)


def _thresholds(*steps: Threshold) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(list(steps))


def _mapping(states: tuple[State, ...]) -> ValueMap:
    return ValueMap({str(state.value): ValueMappingResult(state.text, state.colour) for state in states})


def _panel(
    panel: AnyPanel,
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    width: int,
    height: int,
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> AnyPanel:
    panel.title(title).description(description).datasource(SOURCE).span(width).height(height)
    for reference, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .ref_id(reference)
            .datasource(SOURCE)
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
            .format(form)
        )
    return panel
