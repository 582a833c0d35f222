"""docs/security.md is correct: its lists are checked against the project."""

from __future__ import annotations

import re
import tomllib

from harmgauge.bundle.graph import check, sizes
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def section(title: str) -> str:
    return TEXT.partition(f"\n{title}\n")[2].partition("\n## ")[0]


def names(lines: list[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9_.-]+", line) for line in lines)
    return {match[0].lower() for match in found if match}


def test_every_dependency_of_the_service_is_justified_and_nothing_else() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", section("## Dependencies"), re.MULTILINE)[2:]
    extras: dict[str, set[str]] = {}
    plain: set[str] = set()
    for packages, reason in rows:
        assert reason
        last = re.search(r"\(`(\w+)`\)", packages)
        if last is None:
            plain |= {packages}
        for listed, extra in re.findall(r"([\w, -]+?) \(`(\w+)`\)", packages):
            extras.setdefault(extra, set()).update(name for name in listed.strip(", ").split(", ") if name)
    assert plain == names(PROJECT["dependencies"])
    offline = {"build", "train", "attack", "dev"}
    assert extras == {
        extra: names(lines) for extra, lines in PROJECT["optional-dependencies"].items() if extra not in offline
    }


def test_the_threat_models_tests_are_there() -> None:
    rows = [line for line in section("## Threat model").splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 10
    for row in rows:
        shown = re.findall(r"`(tests/[\w./]+\.py)`", row)
        assert shown, row
        for path in shown:
            assert (ROOT / path).is_file(), path


def test_the_figures_of_the_graphs_limits_are_the_codes() -> None:
    said = section("## Bundles")
    assert f"{len(check.MICROSOFT_OPERATORS)} of `com.microsoft`" in said
    assert f"beyond {check.MAX_DEPTH} levels" in said
    assert f"more than {check.MAX_WORK // 10**6} million parts" in said
    assert f"more than 2^{sizes.MAX_ELEMENTS.bit_length() - 1} elements" in said


def test_the_links_lead_somewhere() -> None:
    for document in ("docs/security.md", "SECURITY.md"):
        for target, anchor in re.findall(r"\]\(([\w./-]*)#?([\w-]*)\)", (ROOT / document).read_text()):
            file = (ROOT / document).parent / target if target else ROOT / document
            assert file.is_file(), target
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
            assert not anchor or anchor in {_anchor(title) for title in titles}, anchor


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
