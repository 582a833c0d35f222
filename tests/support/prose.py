"""The sentences that users and developers read: pages, docstrings, string literals, descriptions of alerts."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.conftest import ROOT
from tests.support.markdown import CODE, FENCE, tracked

LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")
MARKER = re.compile(r"^\s*(?:[-*+] |\d+\. |#{1,6} |> )\s*")
SENTENCE_END = re.compile(r"(?<=[.!?:;])[*)\"”]*\s+")
ANNOTATION = re.compile(
    r"(?P<comment>(?:^ *# .*\n)+)"
    r"|^(?P<margin> +)(?:summary|description): (?:>-\n(?P<folded>(?:(?P=margin) +.*\n)+)|(?P<line>.*))",
    re.MULTILINE,
)
NOT_READ = ("docs/measurements/", "docs/reference/settings.md", "CHANGELOG.md")
"""Dated runs keep their wording, the settings are docstrings in the code, and a changelog quotes the past."""


@dataclass(frozen=True)
class Sentence:
    """A sentence without its code spans, and the line on which it begins."""

    file: str
    line: int
    text: str
    opens_docstring: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def _sentences(file: str, line: int, block: str, docstring: bool = False) -> Iterator[Sentence]:
    """The sentences of a block that begins on `line`; its newlines count as lines of the file."""
    start = 0
    for end in [*(match.end() for match in SENTENCE_END.finditer(block)), len(block)]:
        before, text = block[:start], block[start:end]
        lead = text[: len(text) - len(text.lstrip())]
        if text.strip():
            number = line + before.count("\n") + lead.count("\n")
            yield Sentence(file, number, " ".join(text.split()), docstring and not before.strip())
        start = end


def _without_code(text: str) -> str:
    """Replace each code span by one character, keeping its newlines."""
    return CODE.sub(lambda match: "…" + "\n" * match[0].count("\n"), text)


def of_markdown(file: str, text: str) -> Iterator[Sentence]:
    """Paragraphs, list items, headings and table cells, without fenced blocks, code spans and addresses."""
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    text = LINK.sub(lambda match: match[1] + "\n" * match[0][len(match[1]) :].count("\n"), _without_code(text))
    block, began = "", 1
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if not line.strip() or line.startswith("|") or MARKER.match(line):
            yield from _sentences(file, began, block)
            block, began = "", number + (not MARKER.match(line))
        if line.startswith("|"):
            for cell in line.strip("|").split("|"):
                yield from _sentences(file, number, cell)
        elif line.strip():
            block += MARKER.sub("", line) + "\n"


def of_python(file: str, source: str, literals: bool) -> Iterator[Sentence]:
    """Docstrings, including those of attributes; with `literals` also every other string of four or more words.

    Each value interpolated into an f-string is one character. A literal's sentences have the line on which the literal
    begins.
    """
    # Listed once: the walk takes most of the time.
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr | ast.JoinedStr | ast.Constant)]
    docstrings = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        else:
            continue
        if id(node) in docstrings:
            yield from _sentences(file, node.lineno, _without_code(text), docstring=True)
        elif literals and len(text.split()) > 3:
            for sentence in _sentences(file, node.lineno, _without_code(text)):
                yield Sentence(file, node.lineno, sentence.text)


def of_rules(file: str, text: str) -> Iterator[Sentence]:
    """The annotations and comments of a file of Prometheus rules."""
    for found in ANNOTATION.finditer(text):
        block = re.sub(r"^ *# ", "", found["comment"] or found["folded"] or found["line"], flags=re.MULTILINE)
        line = text.count("\n", 0, found.start()) + (1 if found["folded"] is None else 2)
        yield from _sentences(file, line, _without_code(block))


@functools.cache
def prose() -> tuple[Sentence, ...]:
    """All sentences, in the order of the files."""
    found: list[Sentence] = []
    for file in tracked("*.md", "*.py", "*.rules.yaml"):
        if file.startswith(NOT_READ):
            continue
        text = (ROOT / file).read_text()
        if file.endswith(".md") and file.startswith(("docs/", "README", "SECURITY", "CONTRIBUTING")):
            found += of_markdown(file, text)
        elif file.endswith(".py"):
            found += of_python(file, text, literals=not file.startswith("tests/"))
        elif file.endswith(".yaml"):
            found += of_rules(file, text)
    return tuple(found)
