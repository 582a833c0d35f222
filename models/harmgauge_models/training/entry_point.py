"""Loads the user's own functions, named on the command line as `module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from harmgauge_models.errors import UserError


def own_function(option: str, name: str, takes: str) -> Callable[..., Any]:
    """Import a function; `takes` describes its arguments and result for the error message. Raises UserError."""
    module, _, function = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{option} {name}: {error}. Name a function of an importable module as module:function; it takes {takes}"
        ) from error
    return found
