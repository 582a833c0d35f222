"""A fleet's metrics, minute by minute, and the results of the rules on them: `promtool test rules`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitoring.__main__ import RULE_FILES
from tests.support.prometheus import RULES, promtool

Series = dict[str, str]
"""Values by series, in promtool's notation, one for each minute."""

Life = Sequence[int | None]
"""For each minute, the minutes that the process has counted; None if the scrape failed or nothing ran."""

STEADY: Life = range(31)

REFERENCE = (250, 500, 750, 1000)
BOUNDS = ("1.0", "2.0", "3.0", "+Inf")
ALIKE = (10, 20, 30, 40)
"""40 rows a minute with the reference's distribution."""


def replica(
    instance: str,
    rows: Sequence[int] = ALIKE,
    *,
    life: Life = STEADY,
    reference: Sequence[int] = REFERENCE,
    bounds: Sequence[str] = BOUNDS,
    flagged: int = 0,
    evidence: Sequence[float] | float = 0,
    ready: Sequence[float] | float = 1,
    rows_between_false_alarms: float = 1_000_000,
    **labels: str,
) -> Series:
    """The series of one replica that scores `rows` per minute up to each of `bounds`, of which `flagged` are flagged.

    `evidence` is one value for each minute, or one for all.
    """
    of_model = {"job": "harmgauge", "instance": instance, "model": "m"} | labels
    of_bundle = of_model | {"bundle": labels.get("bundle", "x")}
    of_model.pop("bundle", None)
    of_detector = of_model | {"detector": "score_evidence"}
    found = {
        _name("harmgauge_score_count", of_bundle): _counter(rows[-1], life),
        _name("harmgauge_reference_score_count", of_bundle): _gauge(reference[-1], life),
        _name("harmgauge_instances_total", of_model | {"flag": "adversarial"}): _counter(flagged, life),
        _name("harmgauge_instances_total", of_model | {"flag": "clean"}): _counter(rows[-1] - flagged, life),
        _name("harmgauge_drift_statistic", of_detector): _gauge(evidence, life),
        _name("harmgauge_drift_statistic_threshold", of_detector): _gauge(rows_between_false_alarms, life),
        _name("harmgauge_reference_flagged_ratio", of_model): _gauge(0.05, life),
        _name("harmgauge_bundle_info", of_model | {"sha256": of_bundle["bundle"]}): _gauge(1, life),
        _name("harmgauge_ready", of_model): _gauge(ready, life),
    }
    for bound, scored, of_reference in zip(bounds, rows, reference, strict=True):
        found[_name("harmgauge_score_bucket", of_bundle | {"le": bound})] = _counter(scored, life)
        found[_name("harmgauge_reference_score_bucket", of_bundle | {"le": bound})] = _gauge(of_reference, life)
    return found


def counter(metric: str, each_minute: int, *, life: Life = STEADY, instance: str = "a", **labels: str) -> Series:
    """An additional counter of a replica, with its own labels."""
    return {
        _name(metric, {"job": "harmgauge", "instance": instance, "model": "m"} | labels): _counter(each_minute, life)
    }


def gauge(metric: str, values: Sequence[float] | float, *, life: Life = STEADY, **labels: str) -> Series:
    """An additional gauge, with only these labels and `job`."""
    return {_name(metric, {"job": "harmgauge"} | labels): _gauge(values, life)}


def histogram(metric: str, buckets: Mapping[str, int], *, instance: str = "a", **labels: str) -> Series:
    """An additional histogram of a replica, with this many observations per minute up to each bound."""
    series: Series = {}
    for bound, each_minute in buckets.items():
        series |= counter(f"{metric}_bucket", each_minute, life=STEADY, instance=instance, le=bound, **labels)
    return series


def one_after_the_other(before: Series, after: Series) -> Series:
    """An instance whose process is replaced: each series continues with the second's values once those begin."""
    merged = before | after
    for name in before.keys() & after.keys():
        pairs = zip(before[name].split(), after[name].split(), strict=True)
        merged[name] = " ".join(first if second == "stale" else second for first, second in pairs)
    return merged


def check(folder: Path, *replicas: Series, minute: int = 20, values: Mapping[str, float | None] | None = None) -> None:
    """Fails unless each expression has a single sample at `minute`, equal to this value to 12 digits; None means no
    sample.
    """
    expected = [
        {"expr": expression, "eval_time": f"{minute}m", "exp_samples": []}
        if value is None
        else {
            "expr": f"sum(abs(({expression}) - {value!r}) <= bool {abs(value) * 1e-12!r})",
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expression, value in (values or {}).items()
    ]
    _run(folder, replicas, promql_expr_test=expected)


def check_course(
    folder: Path, *replicas: Series, courses: Mapping[str, Sequence[float | None]], rtol: float = 1e-12
) -> None:
    """Fails unless each expression has, in each minute, a single sample equal to the value within `rtol`; None means no
    sample.
    """
    expected = [
        {"expr": expression, "eval_time": f"{minute}m", "exp_samples": []}
        if value is None
        else {
            "expr": f"sum(abs(({expression}) - {value!r}) <= bool {abs(value) * rtol!r})",
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expression, values in courses.items()
        for minute, value in enumerate(values)
    ]
    _run(folder, replicas, promql_expr_test=expected)


def check_alerts(folder: Path, *replicas: Series, minute: int = 20, fired: set[str]) -> None:
    """Fails unless exactly these alerts have fired at any time up to `minute`."""
    expected = {
        "expr": 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[3h]))',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fired)],
    }
    _run(folder, replicas, promql_expr_test=[expected])


def check_alert_text(
    folder: Path, *replicas: Series, alert: str, minute: int = 20, labels: dict[str, str], annotations: dict[str, str]
) -> None:
    """Fails unless `alert` fires once at `minute`, with exactly these labels and annotations."""
    expected = {
        "alertname": alert,
        "eval_time": f"{minute}m",
        "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}],
    }
    _run(folder, replicas, alert_rule_test=[expected])


def _run(folder: Path, replicas: Sequence[Series], **tests: list[dict[str, Any]]) -> None:
    series: Series = {}
    for one in replicas:
        assert not series.keys() & one.keys(), "two replicas are the same"
        series |= one
    test = {"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in series.items()]}
    document = {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": "1m",
        "group_eval_order": re.findall(r"- name: (\S+)", RULES),  # otherwise it varies
        "tests": [test | tests],
    }
    file = folder / "test.yaml"
    file.write_text(json.dumps(document))  # JSON is YAML
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def _name(metric: str, labels: Mapping[str, str]) -> str:
    return metric + "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _counter(each_minute: int, life: Life) -> str:
    return " ".join("stale" if minutes is None else str(each_minute * minutes) for minutes in life)


def _gauge(value: Sequence[float] | float, life: Life) -> str:
    values = [value] * len(life) if isinstance(value, float | int) else value
    return " ".join("stale" if up is None else str(one) for one, up in zip(values, life, strict=True))
