"""Reports of `evaluate` whose figures are made but not drawn, which takes half of a short evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harmgauge_models.evaluation import figures


@contextmanager
def figures_not_drawn() -> Iterator[None]:
    """For tests of everything but the figures, which the tests of the report draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "svg", lambda _figure, title: f'<svg role="img" aria-label="{title}"></svg>')
        patch.setattr(figures, "png", lambda _figure: b"not drawn")
        yield
