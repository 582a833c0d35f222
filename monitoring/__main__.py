"""`python -m monitoring`: writes the generated files of k8s/monitoring."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "k8s" / "monitoring"
RULE_FILES = tuple(FOLDER / f"{name}.rules.yaml" for name in ("harmgauge", "harmgauge-harm", "harmgauge-service"))
"""All rule files, which Prometheus needs together."""


def rules() -> str:
    """The groups of all rule files, as one file."""
    first, *others = (path.read_text() for path in RULE_FILES)
    return "\n".join([first, *(text.partition("groups:\n")[2] for text in others)])


def files() -> dict[Path, str]:
    """The generated files: their paths and texts."""
    from monitoring import dashboard, prometheus_rule

    return {
        FOLDER / "dashboards" / "harmgauge.json": dashboard.text(),
        FOLDER / "prometheus-rule.yaml": prometheus_rule.text(rules()),
    }


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        changed = not path.exists() or path.read_text() != text
        path.write_text(text)
        print(f"{'wrote' if changed else 'unchanged:'} {path.relative_to(FOLDER.parent.parent)}")
    print("Next: commit them; python -m pytest tests/monitoring tests/k8s tests/e2e/test_monitoring.py")


if __name__ == "__main__":
    main()
