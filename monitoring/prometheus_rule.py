"""The alert rules as a resource of the Prometheus operator."""

from __future__ import annotations

from textwrap import indent

_HEAD = """\
# Generated from harmgauge*.rules.yaml by python -m monitoring; do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: harmgauge
  labels:
    app.kubernetes.io/name: harmgauge
spec:
"""


def text(rules: str) -> str:
    """Put `rules`, the text of a Prometheus rule file, unchanged and with its comments, into the `spec` of the
    resource.
    """
    return _HEAD + indent(rules, "  ")
