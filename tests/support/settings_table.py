"""`python -m tests.support.settings_table`: rewrites the table of settings in docs/reference/settings.md."""

from __future__ import annotations

from harmgauge.settings import PREFIX, Settings, shipped_bundle
from tests.support.readme import DOCS

PAGE = DOCS / "reference" / "settings.md"
HEAD = "| variable | default | what it decides |\n| --- | --- | --- |\n"


def settings_table() -> str:
    """The table as generated from the code."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "the shipped bundle" if field.default_factory is shipped_bundle else f"`{field.default}`"
        shown = "" if field.default is None else default
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {(field.description or '').strip()} |\n")
    return HEAD + "".join(lines)


def main() -> None:
    before, _, rest = PAGE.read_text().partition(HEAD)
    after = rest.partition("\n\n")[2] if "\n\n" in rest else ""
    PAGE.write_text(before + settings_table() + ("\n" + after if after else ""))


if __name__ == "__main__":
    main()
