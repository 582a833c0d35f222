"""The OpenAPI description of a request to `POST /score`, from the bundle's inputs."""

from __future__ import annotations

from typing import Any

from harmgauge.api.body import decode
from harmgauge.api.body.media import JSON
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import TEXT, NamedInputs
from harmgauge.bundle.served_input import InputSpec, Served
from harmgauge.bundle.values import MAX_STRING_CHARACTERS, bounds

MOST_CATEGORIES = 100
"""Longer lists are left out of the document."""


def request_body(served: Served) -> dict[str, Any]:
    """The request body of a bundle with these inputs."""
    instance = _array(served) if isinstance(served, InputSpec) else _named(served)
    is_missing = served.missing if isinstance(served, InputSpec) else any(found.missing for found in served.inputs)
    instances: dict[str, Any] = {"type": "array", "minItems": 1, "items": instance}
    binary = {"type": "string", "format": "binary"}
    if is_missing:
        instances["description"] = "null means a missing value."
        binary["description"] = "NaN means a missing value."
    parameters = {
        "type": ["object", "null"],
        "properties": {name: {"type": ["boolean", "null"]} for name in decode.PARAMETERS},
    }
    document = {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": instances,
            "parameters": {**parameters, "additionalProperties": False},
        },
    }
    return {
        "required": True,
        "content": {name: {"schema": document if name == JSON else binary} for name in decode.media_types(served)},
    }


def _array(spec: InputSpec) -> dict[str, Any]:
    kind = "number" if spec.dtype.startswith("float") else "integer"
    schema = _within({"type": [kind, "null"] if spec.missing else kind}, spec.minimum, spec.maximum)
    for length in reversed(spec.shape):
        schema = {"type": "array", "items": schema, "minItems": length, "maxItems": length}
    return schema if spec.by_column is None else {"anyOf": [schema, _record(spec.by_column)]}


def _named(inputs: NamedInputs) -> dict[str, Any]:
    choices = [_record(inputs)]
    if inputs.tokenizer is not None:
        text = {"type": "string", "maxLength": MAX_STRING_CHARACTERS}
        choices = [_object({TEXT: text}, [TEXT]), text, *choices]
    elif inputs.text_input is not None:
        choices.append(_value(inputs.text_input))
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _record(inputs: NamedInputs) -> dict[str, Any]:
    properties = {}
    for key, field in inputs.fields.items():
        schema = _value(field.input)
        if field.position is None and field.input.shape not in ((), (1,)):
            for length in reversed(field.input.shape):
                schema = {
                    "type": "array", "items": schema, "minItems": length or 1, "maxItems": length or field.input.maximum
                }  # fmt: skip
        properties[key] = schema
    return _object(properties, [key for key, field in inputs.fields.items() if not field.input.missing])


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _value(found: Input) -> dict[str, Any]:
    if found.is_text:
        schema: dict[str, Any] = {"type": "string", "maxLength": MAX_STRING_CHARACTERS}
        known = found.categories
        if found.unknown == "refuse" and known is not None and len(known) <= MOST_CATEGORIES:
            schema["enum"] = [*known, *([None] if found.missing else [])]
    else:
        kind = "number" if found.dtype.startswith("float") else "integer"
        schema = _within({"type": kind}, *bounds(found))
    if found.missing:
        schema["type"] = [schema["type"], "null"]
    return schema


def _within(schema: dict[str, Any], minimum: float | None, maximum: float | None) -> dict[str, Any]:
    limits = {"minimum": minimum, "maximum": maximum}
    return schema | {name: limit for name, limit in limits.items() if limit is not None}
