"""A figure as SVG that takes the page's colours, and as PNG."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK = "#010203"
"""What becomes the page's own colour of text."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.facecolor": "none",
    "legend.edgecolor": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def style(name: str) -> AbstractContextManager[None]:
    """The settings in which figures must be made as well as written; `name` keeps the parts of several apart."""
    return mpl.rc_context(_STYLE | {"svg.hashsalt": name})


def svg(figure: Figure, title: str) -> str:
    """An `<svg>` element to stand in a page, described by `title`."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # a page knows the names of its own parts
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # several figures would have the same ones
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1).strip()


def png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, facecolor="white", metadata={"Software": None})
    return stream.getvalue()
