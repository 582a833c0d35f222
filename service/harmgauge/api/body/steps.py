"""Long work divided into steps of a millisecond or less, so that other work can run in between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""A generator that performs one step each time it is resumed, and returns the result."""


def finish(steps: Steps[T]) -> T:
    """Run all steps without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def one_step(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Steps[T]:
    """Wrap work that cannot be divided."""
    yield from ()
    return function(*arguments, **named)


def collect(parts: Iterator[T]) -> Steps[list[T]]:
    """Collect the parts, one in each step."""
    found: list[T] = []
    for part in parts:
        found.append(part)
        yield
    return found
