"""The row about the scored rows: scores against the reference's, and classes."""

from __future__ import annotations

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from monitoring.panels import HEIGHT, Panel, Query, bars, buckets, lines, stacked
from monitoring.selectors import of_replicas, quantile, rate

QUANTILES = ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))

_BUSIEST_BUNDLE = f"topk(1, sum by (bundle) ({rate(of_replicas('harmgauge_score_count'))}))"

_NON_FINITE = of_replicas("harmgauge_rejected_total", 'reason="non_finite_score"')

_EMBEDDING = """\
**Where do the newest inputs lie among the reference's?**

Open a replica's page, by its address in *Replicas* below: it draws the features of recent inputs over the reference's,
in two dimensions. `GET /drift/embedding` gives the numbers, `GET /drift/features` the features.

A cloud beside the reference's is another kind of input; one inside it, with higher scores, is damage to the usual kind.
"""


def panels() -> list[Panel | text.Panel]:
    return [
        lines(
            "Score quantiles",
            "none",
            "Of recent scores, and of the reference (dotted). All quantiles up: every input has changed. Only the "
            "upper ones: some have. Above the flag's threshold an input is flagged.",
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
            "Each row is a 64th of the reference's scores, the highest above. Without drift all rows are equally "
            "bright: what is brighter has become more frequent than it was. Bright rows at the top are harm. During a "
            "rollout it shows the bundle with most traffic.",
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
            "Share of each predicted class. A class that swells while scores rise is where harmed inputs end up; one "
            "that changes while scores stay is another mix of honest inputs. Empty above 100 classes.",
            Query(
                f"sum by (class) ({rate(of_replicas('harmgauge_predictions_total'))}) "
                f"/ ignoring (class) group_left () (sum({rate(of_replicas('harmgauge_predictions_total'))}) > 0)",
                "{{class}}",
            ),
            width=12,
        ).max(1),
        bars(
            "Scores that are not finite",
            "short",
            "Requests refused because the graph overflowed on them. Any at all is a broken input or a broken bundle: "
            "the answer named the instance. Runbook: HarmgaugeNonFiniteScores.",
            Query(
                f"sum by (instance) (increase({_NON_FINITE}[$__rate_interval]))",
                "{{instance}}",
            ),
            width=6,
        ),
        text.Panel()
        .title("Embedding")
        .description("A picture that needs the features themselves, which Prometheus does not hold.")
        .mode(TextMode.MARKDOWN)
        .content(_EMBEDDING)
        .span(6)
        .height(HEIGHT),
    ]
