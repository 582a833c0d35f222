"""Parameters of the protocol's requests, inputs and outputs: read, ignored or refused.

A tensor's parameters define the encoding of its numbers, so an unknown one is refused: if it were ignored, its numbers
might be misread. The protocol allows any parameter on the request itself. Most of those do not affect the response
(`priority`, `sequence_id` because every row is scored by itself, `headers`, a client's own), and are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from harmgauge.api.said import quoted, said
from harmgauge.errors import InvalidParameters

CONTENT_TYPE = "content_type"
"""MLServer's codecs add it everywhere: the client's type for a tensor."""

_NUMBERS = "np"
"""The content type of a tensor of numbers, which all outputs are."""

_OF_INPUTS = ("binary_data_size", CONTENT_TYPE)
_OF_OUTPUTS = ("binary_data", CONTENT_TYPE)

_NO_SHARED_MEMORY = "leave it out: tensors are sent in the message itself"

_REMEDIES = {
    "classification": "leave it out: 'predictions' has the most likely class of each instance",
    "shared_memory_region": _NO_SHARED_MEMORY,
    "shared_memory_byte_size": _NO_SHARED_MEMORY,
    "shared_memory_offset": _NO_SHARED_MEMORY,
}
"""Triton's extensions that are not supported."""

_OF_TENSORS_ONLY = _REMEDIES | {"binary_data": "set 'binary_data_output', or 'binary_data' of an output"}
"""Names that must not be parameters of the request, and what to do instead."""

_MICROSECONDS = re.compile("[0-9]{1,20}")


def given(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request, an input or an output in JSON, without those that are null.

    Raises InvalidParameters.
    """
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidParameters(f"'parameters': expected an object, got {said(parameters)}.")
    return {name: value for name, value in parameters.items() if value is not None}


def flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """The value of a flag. Raises InvalidParameters."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidParameters(f"The parameter {name!r}: expected true or false, got {said(value)}.")
    return value


def check_input(parameters: Mapping[str, Any]) -> None:
    """Raises InvalidParameters if the parameters ask for a different encoding of the input."""
    _check_known(parameters, _OF_INPUTS, "the input")


def check_output(parameters: Mapping[str, Any], name: str) -> None:
    """Raises InvalidParameters if the parameters of output `name` ask for a different encoding."""
    _check_known(parameters, _OF_OUTPUTS, f"the output {name!r}")
    content_type = parameters.get(CONTENT_TYPE, _NUMBERS)
    if content_type != _NUMBERS:
        raise InvalidParameters(
            f"The parameter {CONTENT_TYPE!r} of the output {name!r}: expected {_NUMBERS!r}, a tensor of numbers, got "
            f"{said(content_type)}; leave it out."
        )


def check_request(parameters: Mapping[str, Any]) -> None:
    """Raises InvalidParameters if the request has a parameter of a tensor."""
    for name in parameters:
        if name in _OF_TENSORS_ONLY:
            raise InvalidParameters(
                f"The parameter {name!r} of the request is not supported: {_OF_TENSORS_ONLY[name]}."
            )


def timeout_seconds(parameters: Mapping[str, Any]) -> float | None:
    """Triton's `timeout`, in microseconds from the request's arrival; None if there is none or it is 0.

    Raises InvalidParameters.
    """
    value = parameters.get("timeout", 0)
    digits = str(value) if type(value) is int else value
    if not isinstance(digits, str) or not _MICROSECONDS.fullmatch(digits):
        raise InvalidParameters(
            f"The parameter 'timeout': expected a whole number of microseconds, 0 for none, got {said(value)}."
        )
    return int(digits) / 1e6 or None


def _check_known(parameters: Mapping[str, Any], known: Collection[str], of: str) -> None:
    for name in parameters:
        if name not in known:
            remedy = _REMEDIES.get(name, f"leave it out; known: {', '.join(known)}")
            raise InvalidParameters(f"The parameter {quoted(name)} of {of} is not supported: {remedy}.")
