"""Phrases that make a text read like a translation stay rare in pages, docstrings, messages and alerts.

A regular expression cannot judge English. Each row of the table catches one habit by its usual form, misses its rarer
forms, and now and then catches a sentence that is right: hence a number that is allowed, and not always 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import prose
from tests.support.prose import Sentence, of_markdown, of_python, of_rules

SUBJECT = (
    r"(?:an?|all|any|both|each|every|its?|neither|no|nobody|none|nothing|one|several|some|somebody|such|that|the|their"
    r"|there|these|they|this|those|you|…)"
)
PLACES = ("at", "case", "cases", "file", "folder", "from", "in", "is", "know", "line", "place", "places", "to")
NOT_AFTER_A_PLACE = "".join(rf"(?<!\b{word} where )" for word in PLACES)
WHERE = rf" where {NOT_AFTER_A_PLACE}(?<![-*] where ){SUBJECT} |^Where {SUBJECT} [^,.?]+, "
"""`where` before the subject of a clause, unless a word for a place comes just before it, and `Where ..., ` at the
start of a sentence. It misses `where` before a name (`where MMD is off`), and counts a place of another name (`the host
where it runs`)."""
FOR = r"[,;] for (?:he|it|neither|nobody|none|nothing|there|they|we) \w+"
COMPARATIVE = "fewer|greater|higher|larger|less|longer|lower|more|other|sooner|such|worse"
IS_NO = rf"(?<!here )\b(?:is|are|was|were) no (?!{COMPARATIVE})\w+"
SPEAKS = r"(?<!\bwho )(?<!\bnobody )\b(?:hears|knows|says|speaks|tells)\b|\b(?:is|are|was|were) told\b"


@dataclass(frozen=True)
class Pattern:
    """A habit: what catches it, how often it may occur, and an example `now` with a `better` wording."""

    regex: str
    most: int
    now: str
    better: str
    opens_docstring: bool = False
    """Only at the start of a docstring."""

    def catches(self, sentence: Sentence) -> bool:
        if self.opens_docstring and not sentence.opens_docstring:
            return False
        return re.search(self.regex, sentence.text) is not None


PATTERNS = {
    '"where" for "if"': Pattern(WHERE, 29, "It is null where the bundle has none", "It is null if the bundle has none"),
    '"due" for "expected"': Pattern(r"\b(?:is|are) due\b", 0, "a number is due", "expected a number, got null"),
    'a docstring that begins "What" or "Of"': Pattern(
        r"^(?:What|Of) ", 9, "What the service measures.", "The measurements of the service.", opens_docstring=True
    ),
    '"so many"': Pattern(
        r"(?<!, )\bso many\b(?! \w+ that)", 3, "a request of so many rows", "a request of that many rows"
    ),
    '"at most so"': Pattern(r"\bat most so\b", 0, "It waits at most so long.", "It waits no longer than that."),
    '"whoever"': Pattern(r"\b[Ww]hoever\b", 2, "Whoever sends a key gets in.", "A client with a key gets in."),
    "software that speaks or knows": Pattern(
        SPEAKS, 9, "The log says what the detector knows.", "The log reports the state of the detector."
    ),
    '"go on"': Pattern(r"\b(?:go|goes|going|went) on\b", 2, "The counter goes on.", "The counter continues."),
    '"stand still"': Pattern(r"\bst(?:and|ands|ood) still\b", 0, "The queue stands still.", "The queue does not move."),
    '"stand" for "be"': Pattern(
        r"\bst(?:ands?|ood) (?:above|after|against|at|before|below|beside|in|on|there|under)\b(?! for)",
        5,
        "The reason stands in the log.",
        "The log gives the reason.",
    ),
    '"he" for a client': Pattern(
        r"\b(?:[Hh]e|him|himself|[Hh]is)\b(?! et al)", 0, "A client that sees his score", "A client that sees its score"
    ),
    '"is no X"': Pattern(IS_NO, 5, "It is no key.", "It is not a key."),
    '"looked at"': Pattern(r"\blooked at\b", 2, "Then the rows are looked at.", "Then the rows are examined."),
    '"for" for "because"': Pattern(
        FOR, 3, "Send them alone, for they may be alike.", "Send them alone, because they may be alike."
    ),
    '"which is why"': Pattern(
        r"\bwhich is why\b", 0, "It is slow, which is why it waits.", "It waits because it is slow."
    ),
    '"for want of"': Pattern(r"\bfor want of\b", 0, "deleted for want of room", "deleted if the folder is full"),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_the_phrase_is_rare(name: str) -> None:
    pattern = PATTERNS[name]
    found = [sentence for sentence in prose.prose() if pattern.catches(sentence)]
    if len(found) > pattern.most:  # an assert would print every sentence twice
        pytest.fail(
            f"{name}: {len(found)} times, at most {pattern.most} allowed. Instead of {pattern.now!r} write"
            f" {pattern.better!r}.\n" + "\n".join(map(str, found)),
            pytrace=False,
        )


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_catches_its_example_and_not_the_better_wording(name: str) -> None:
    pattern = PATTERNS[name]
    assert pattern.catches(Sentence("", 1, pattern.now, opens_docstring=True))
    assert not pattern.catches(Sentence("", 1, pattern.better, opens_docstring=True))


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("Where no label is known, the answer is null.", True),
        ("It is 1 where … is set.", True),
        ("Where the time goes", False),
        ("It reports the place where it failed.", False),
        ("Which way, and where?", False),
    ],
)
def test_where_is_told_apart_from_a_place(text: str, caught: bool) -> None:
    assert PATTERNS['"where" for "if"'].catches(Sentence("", 1, text)) is caught


def test_pages_are_read_without_their_code_and_with_their_lines() -> None:
    text = "# A page\n\nOne `code\nspan` here.\nTwo [links](to.md).\n\n```\ncode. Code.\n```\n"
    text += "| a cell. | `c` b |\n- item\n"
    assert list(of_markdown("p.md", text)) == [
        Sentence("p.md", 1, "A page"),
        Sentence("p.md", 3, "One … here."),
        Sentence("p.md", 5, "Two links."),
        Sentence("p.md", 10, "a cell."),
        Sentence("p.md", 10, "… b"),
        Sentence("p.md", 11, "item"),
    ]


def test_docstrings_literals_and_alerts_are_read(tmp_path: Path) -> None:
    source = '"""What it is.\n\nMore."""\nx = 1\n"""Of x."""\ny = f"four words and {x} " "more"\nz = "two words"\n'
    docstrings = [
        Sentence("a.py", 1, "What it is.", opens_docstring=True),
        Sentence("a.py", 3, "More."),
        Sentence("a.py", 5, "Of x.", opens_docstring=True),
    ]
    assert list(of_python("a.py", source, literals=False)) == docstrings
    literal = Sentence("a.py", 6, "four words and … more")
    assert set(of_python("a.py", source, literals=True)) == {*docstrings, literal}
    rules = (
        "# A\n# comment.\nexpr: up\n  summary: An alert.\n  description: >-\n    Two\n    lines.\n  runbook_url: x\n"
    )
    assert [str(sentence) for sentence in of_rules("r", rules)] == [
        "r:1: A comment.",
        "r:4: An alert.",
        "r:6: Two lines.",
    ]


def test_every_kind_of_text_is_there() -> None:
    files = {sentence.file for sentence in prose.prose()}
    assert {"README.md", "docs/runbook.md", "service/harmgauge/settings.py", "tests/test_english.py"} <= files
    assert any(file.endswith(".rules.yaml") for file in files)
    assert any(file.startswith("models/") for file in files)
