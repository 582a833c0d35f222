"""Reports whose figures are made but not drawn, which takes half of a short evaluation, and of a toy's build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from harmgauge_models.building import report
from harmgauge_models.evaluation import figures


@contextmanager
def figures_not_drawn() -> Iterator[None]:
    """For tests of everything but the figures, which the tests of the report draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "svg", lambda _figure, title: f'<svg role="img" aria-label="{title}"></svg>')
        patch.setattr(figures, "png", lambda _figure: b"not drawn")
        yield


@contextmanager
def build_report_not_drawn() -> Iterator[None]:
    """The same for the plot in the report of `build`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "Figure", _NotDrawn)
        yield


class _NotDrawn(Figure):
    def savefig(self, fname: Any, **_: Any) -> None:
        Image.new("L", (1, 1)).save(fname, "PNG")
