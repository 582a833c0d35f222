"""Selectors for the series that the dashboard's variables choose."""

from __future__ import annotations

FLEET = 'namespace=~"$namespace", job=~"$job", model="$model"'
REPLICAS = f'{FLEET}, instance=~"$instance"'
DETECTORS = f'{REPLICAS}, detector=~"$detector"'

SCORING = 'route=~"/score|/v2/.+/infer|/.+/ModelInfer"'
"""The routes that score; requests to /metrics or /drift have different durations."""


def of_fleet(metric: str) -> str:
    """A series over all replicas together, from a recording rule."""
    return f"{metric}{{{FLEET}}}"


def of_replicas(metric: str, more: str = "") -> str:
    """The series of each chosen replica; `more` are additional matchers."""
    return f"{metric}{{{REPLICAS}{', ' if more else ''}{more}}}"


def of_detectors(metric: str, more: str = "") -> str:
    """The series of each chosen replica and detector."""
    return f"{metric}{{{DETECTORS}{', ' if more else ''}{more}}}"


def rate(series: str) -> str:
    """The series' increase per second, over an interval that contains enough scrapes."""
    return f"rate({series}[$__rate_interval])"


def quantile(share: float, metric: str, more: str = "", by: str = "le") -> str:
    """A quantile, over all chosen replicas, of a histogram's recent observations."""
    return f"histogram_quantile({share}, sum by ({by}) ({rate(of_replicas(f'{metric}_bucket', more))}))"


def mean(metric: str, more: str = "") -> str:
    """The mean of a histogram's recent observations over all chosen replicas; absent if there were none."""
    total, count = (f"sum({rate(of_replicas(f'{metric}_{part}', more))})" for part in ("sum", "count"))
    return f"{total} / ({count} > 0)"
