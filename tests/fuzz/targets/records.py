"""JSON bodies for bundles with inputs by name, read whole and in pieces, compared with Python's own reader."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from harmgauge.api.body.named import records
from harmgauge.api.body.named.plan import plan_of
from harmgauge.api.body.named.tokens import TextReader
from harmgauge.api.body.steps import finish
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.errors import RequestError
from tests.fuzz.expected_named import NAMED, record_rows, row_of, same_rows
from tests.fuzz.mutate import NUMBERS, below_head, bytewise
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets.json import loads
from tests.support.toy_named import table_rows, token_rows

MAX_ROWS = 20

_TOKENS = [
    *NUMBERS, b"[", b"]", b"[]", b"{", b"}", b"{}", b",", b":", b'"', b'""', b"\\", b'"\\ud800"', b'"\\u0000"',
    b'"instances"', b'"instances":[{"n":1}],', b',"instances":1', b'"parameters"', b"},{", b'"},{"', b'"],["',
    b'"}, {"',
    b',"parameters":{"probabilities":true}', b'"age"', b'"age":null,', b'"age":1,', b'"sex":null', b'"Private"',
    b'"input_ids":[]', b'"attention_mask":[1,1]', b",0,0]", b"[0]", b"true", b"null", b'"message":"a"', b'"a":1,',
    b'"x"',
    b'{"instances":[', b"]}", b'"a\\"},{\\"b"', "\u00e9\U0001f600".encode(),
]  # fmt: skip


def instances(body: bytes) -> list[Any] | None:
    """The instances of a good document; None for any other."""
    try:
        document = loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not document.keys() <= {"instances", "parameters"}:
        return None
    items, parameters = document.get("instances"), document.get("parameters")
    if not isinstance(items, list) or not isinstance(parameters, dict | None) or not 0 < len(items) <= MAX_ROWS:
        return None
    return items


def _expected(body: bytes, inputs: NamedInputs) -> list[dict[str, Any]] | None:
    items = instances(body)
    if items is None:
        return None
    only = inputs.inputs[0]
    if len(inputs.inputs) == 1 and only.dtype == "string" and isinstance(items[0], str):
        rows = [row_of({only.name: [item]}, inputs) if isinstance(item, str) else None for item in items]
        return None if None in rows else rows  # type: ignore[return-value]  # None is not among them
    return record_rows(items, inputs)


def compared(body: bytes, inputs: NamedInputs, texts: TextReader | None, expected: list[dict[str, Any]] | None) -> str:
    """Read the body whole and in pieces; returns what became of it. Raises AssertionError if it is not as expected."""
    whole = attempt(lambda: finish(records.read_records(body, plan_of(inputs), texts, MAX_ROWS)))
    with patch.object(records, "PIECE_BYTES", 64):
        pieces = attempt(lambda: finish(records.read_records(body, plan_of(inputs), texts, MAX_ROWS)))
    if isinstance(whole, RequestError):
        assert expected is None, f"refused ({whole.detail}), but it is good"
        assert isinstance(pieces, RequestError), "read in pieces, it is taken"
        return whole.code
    assert expected is not None, f"taken, but it is not good: {whole}"
    assert same_rows(whole[0], expected, inputs), "the rows differ"
    if isinstance(pieces, RequestError):
        assert b'"instances"' in body[body.index(b'"instances"') + 11 :], f"refused in pieces only: {pieces.detail}"
        return "taken whole only"
    assert same_rows(pieces[0], expected, inputs), "the rows differ in pieces"
    assert pieces[1] == whole[1], "the parameters differ in pieces"
    return "taken"


def check(case: bytes) -> str:
    head, _, body = case.partition(b"\n")
    inputs = NAMED.get(head.decode("latin-1"), NAMED["table"])
    return compared(body, inputs, None, _expected(body, inputs))


def seed_records() -> dict[str, list[Any]]:
    """Instances by name of the inputs."""
    arrays = table_rows(3, 1)
    table = [{name: array[row, 0].item() for name, array in arrays.items()} for row in range(3)]
    tokens = token_rows(4, 2, 8)
    return {
        "table": [table[0] | {"age": None, "sex": None}, table[1], table[2]],
        "refusing": table,
        "flagging": [table[0] | {"race": "new"}, table[1]],
        "tokens": tokens,
        "unpadded": tokens,
        "strings": [{"message": "a },{ b"}, {"message": "\u00e9\U0001f600"}],
        "columns": [{"a": 1, "b": None, "c": 2.5, "job": "cook", "city": None, "n": 7}, {"n": -1}],
        "signals": [
            {"wave": [[1, 2, 0], [0.5, None, 0]], "words": ["a", None, "b"], "grid": [[1, 2], [3, 255]]},
            {"wave": [[1], [2]], "words": [""], "grid": [[0, 0], [0, 0]]},
        ],
    }


def _seeds() -> list[bytes]:
    made = []
    for name, items in seed_records().items():
        for document in ({"instances": items}, {"parameters": {"probabilities": True}, "instances": items}):
            made += [name.encode() + b"\n" + json.dumps(document, indent=indent).encode() for indent in (None, 1)]
    made.append(b'strings\n{"instances": ["a", "},{", "\\"]"]}')
    return made


TARGET = Target("records", check, _seeds(), below_head(bytewise(_TOKENS)))
