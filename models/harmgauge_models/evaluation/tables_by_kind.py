"""The numbers of an evaluation by kind of corruption and by period, as HTML tables with score and baselines side by
side.
"""

from __future__ import annotations

from typing import Any

from harmgauge_models.evaluation.compared import EITHER
from harmgauge_models.evaluation.tables import ABSENT, number, score_names, share, table

Quality = dict[str, Any]


def by_kind(quality: Quality) -> str:
    """Harmful against harmless, for all severities together and for each."""
    levels = {"all severities": quality["pooled"]} | {
        f"severity {severity}": level for severity, level in quality["severity"].items()
    }
    return "".join(
        table(
            f"ROC AUC by kind, harmful against harmless, {name}",
            ["kind", "harmful", "harmless", *score_names(quality).values(), "score - entropy, 95 % interval"],
            [
                [_kind(kind, quality), *_figures(found, quality)]
                for kind, found in {**level["by_kind"], "all": level["harmful_harmless"]}.items()
            ],
        )
        for name, level in levels.items()
    )


def wrong_right(quality: Quality) -> str:
    """Wrong answers against right ones, over clean and corrupted rows."""
    tables = {"clean alone": quality["clean"]["wrong_right"]} if "wrong_right" in quality["clean"] else {}
    tables |= {f"clean and severity {name}": level["wrong_right"] for name, level in quality["severity"].items()}
    tables |= {"clean and all severities": quality["pooled"]["wrong_right"]}
    return table(
        "ROC AUC, wrong against right answers",
        ["rows", "wrong", "right", *score_names(quality).values(), "score - entropy, 95 % interval"],
        [[name, *_figures(found, quality)] for name, found in tables.items()],
    )


def periods(quality: Quality) -> str:
    found = quality["periods"]
    rows = [
        [
            name,
            f"{period['rows']}",
            share(period["accuracy"]),
            share(period["flagged"]),
            f"{period['score']:.3g}",
            f"{period['ks_p']:.2g}",
            *_figures(period["wrong_right"], quality),
        ]
        for name, period in found["by_period"].items()
    ]
    rows.append(["all", f"{found['rows']}", *[ABSENT] * 4, *_figures(found["wrong_right"], quality)])
    head = ["period", "rows", "accuracy", "flagged", "mean score", "p against the reference", "wrong", "right"]
    areas = [f"ROC AUC, {label}" for label in score_names(quality).values()]
    return table("By period", [*head, *areas, "score - entropy, 95 % interval"], rows)


def below_entropy(quality: Quality) -> str:
    rows = [
        [
            f"period {entry['period']}" if "period" in entry else _kind(entry["kind"], quality),
            entry["severity"],
            " / ".join(EITHER[entry["between"]]),
            *(number(entry["roc_auc"][name], 3) for name in ("score", "entropy")),
            _interval(entry),
        ]
        for entry in quality["below_entropy"]
    ]
    head = ["kind", "severity", "compared", "score", "entropy", "score - entropy, 95 % interval"]
    return table("Where the classifier's entropy ranks better than the score", head, rows)


def _figures(found: dict[str, Any], quality: Quality) -> list[str]:
    areas = [number(found["roc_auc"].get(name), 3) for name in score_names(quality)]
    return [*map(str, found["rows"]), *areas, _interval(found["score_minus_entropy"])]


def _interval(found: dict[str, float] | None) -> str:
    return ABSENT if found is None else f"{found['difference']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def _kind(kind: str, quality: Quality) -> str:
    return kind.replace("_", " ") + (" (trained on similar)" if kind in quality["resembled_kinds"] else "")
