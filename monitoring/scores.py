"""The row about the scored rows: their scores against the reference's, and their classes."""

from __future__ import annotations

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from monitoring.panels import HEIGHT, Panel, Query, bars, buckets, lines, stacked
from monitoring.selectors import of_replicas, quantile, rate

QUANTILES = ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))

_BUSIEST_BUNDLE = f"topk(1, sum by (bundle) ({rate(of_replicas('harmgauge_score_count'))}))"

_NON_FINITE = of_replicas("harmgauge_rejected_total", 'reason="non_finite_score"')

_EMBEDDING = """\
**Where do the newest inputs lie among those of the reference?**

Open a replica's page by its address in *Replicas* below: it draws the features of recent inputs over the reference's,
in two dimensions. `GET /drift/embedding` returns the coordinates, `GET /drift/features` the features.

A cloud beside the reference's is another kind of input; one inside it, with higher scores, is damage to the usual kind.
"""


def panels() -> list[Panel | text.Panel]:
    return [
        lines(
            "Score quantiles",
            "none",
            "Quantiles of recent scores and of the reference (dotted). If all quantiles rise, every input has changed; "
            "if only the upper ones do, some have. Inputs above the flag's threshold are flagged.",
            *(Query(quantile(share, "harmgauge_score", by="le, bundle"), name) for share, name in QUANTILES),
            *(
                Query(
                    f"histogram_quantile({share}, max by (le, bundle) "
                    f"({of_replicas('harmgauge_reference_score_bucket')}))",
                    f"{name}, reference",
                )
                for share, name in QUANTILES
            ),
            Query(f"max({of_replicas('harmgauge_score_threshold')})", "flag's threshold"),
            width=12,
        ),
        buckets(
            "Scores in the reference's buckets",
            "none",
            "Each row is a 64th of the reference's scores, the highest at the top. Without drift all rows are equally "
            "bright: brighter rows have become more frequent. Bright rows at the top are harm. During a rollout the "
            "panel shows the bundle with most traffic.",
            Query(
                f"sum by (le) (increase({of_replicas('harmgauge_score_bucket')}[$__rate_interval]) "
                f"and on (bundle) {_BUSIEST_BUNDLE})",
                "{{le}}",
            ),
            axis="score, up to",
            width=12,
        ),
        stacked(
            "Class mix",
            "percentunit",
            "Share of each predicted class. If a class grows while scores rise, harmed inputs end up in it; if it "
            "changes while scores do not, the mix of normal inputs has changed. Empty for more than 100 classes.",
            Query(
                f"sum by (class) ({rate(of_replicas('harmgauge_predictions_total'))}) "
                f"/ ignoring (class) group_left () (sum({rate(of_replicas('harmgauge_predictions_total'))}) > 0)",
                "{{class}}",
            ),
            width=12,
        ).max(1),
        bars(
            "Non-finite scores",
            "short",
            "Requests refused because the graph overflowed on them. Even one means a broken input or a broken bundle; "
            "the answer names the instance. See HarmgaugeNonFiniteScores in the runbook.",
            Query(
                f"sum by (instance) (increase({_NON_FINITE}[$__rate_interval]))",
                "{{instance}}",
            ),
            width=6,
        ),
        text.Panel()
        .title("Embedding")
        .description("A plot that needs the features themselves, which Prometheus does not store.")
        .mode(TextMode.MARKDOWN)
        .content(_EMBEDDING)
        .span(6)
        .height(HEIGHT),
    ]
