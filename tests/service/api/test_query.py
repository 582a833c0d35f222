"""Query parameters: their effect, and the error for an unknown one."""

from __future__ import annotations

import pytest

from harmgauge.api.query import read_flags
from harmgauge.errors import InvalidParameters

KNOWN = ["probabilities", "correct"]


def test_flags() -> None:
    assert read_flags(b"", KNOWN) == {}
    assert read_flags(b"&", KNOWN) == {}
    assert read_flags(b"correct=true&probabilities=false", KNOWN) == {"correct": True, "probabilities": False}
    assert read_flags(b"c%6Frrect=tr%75e", KNOWN) == {"correct": True}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"trace=1", "Unknown query parameter 'trace'; known: probabilities, correct."),
        (b"trace", "Unknown query parameter 'trace'; known: probabilities, correct."),
        (b"correct=true&trace=true", "Unknown query parameter 'trace'"),
        (b"=true", "Unknown query parameter ''; known"),
        (b"Correct=true", "Unknown query parameter 'Correct'; names are lower case: 'correct'."),
        (b"x" * 9000, f"Unknown query parameter '{'x' * 40}'...; known: probabilities, correct."),
        (b"correct=true&correct=true", "The query parameter 'correct' is set 2 times; set it once."),
        (b"correct=&correct=true", "The query parameter 'correct' is set 2 times; set it once."),
        (b"correct=", "The query parameter 'correct' has no value; expected true or false."),
        (b"correct", "The query parameter 'correct' has no value; expected true or false."),
        (b"correct=True", "The query parameter 'correct': expected true or false in lower case, got 'True'."),
        (b"correct=1", "The query parameter 'correct': expected true or false, got '1'."),
        (b"correct=%ff%0a", "expected true or false, got '\ufffd\\n'."),
        (b"correct=\xe9", "expected true or false, got '\xe9'."),
    ],
)
def test_each_mistake_is_called_what_it_is(query: bytes, message: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        read_flags(query, KNOWN)
    assert message in refusal.value.detail
