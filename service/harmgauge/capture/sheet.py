"""A contact sheet of captured inputs: one HTML file that loads nothing and runs no scripts."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.table import instance, read_spec

THUMBNAIL_PIXELS = 192
MAX_BARS = 64
MAX_VALUES = 32
MAX_CHARACTERS = 400

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.2rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .6rem; }
img, svg { display: block; width: 100%; max-width: 12rem; margin: 0 auto .5rem; }
img { image-rendering: pixelated; }
svg { height: 6rem; fill: currentColor; }
b { font-size: 1.1rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .5rem; margin: .3rem 0 0; font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; font-size: .75rem; margin: 0; }
"""


def sheet(title: str, rows: Iterable[dict[str, Any]], about: str) -> str:
    """The HTML document: a figure for each of `rows`, which are captured rows with their `input_spec`, in order."""
    figures = "\n".join(_figure(row) for row in rows)
    # Loads nothing and runs no scripts, even if a name chosen by a client got past the escaping.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>\n<main>\n{figures}\n</main>\n</body>\n</html>\n"
    )


def _figure(row: dict[str, Any]) -> str:
    spec = read_spec(row["input_spec"])
    name = f"{row['class_name']}, score {row['score']:.4g}"
    when: datetime = row["time"]
    facts = {
        "time": f"{when:%Y-%m-%d %H:%M:%S} UTC",
        "request": f"{row['request_id']}, row {row['row']}",
        "key": row["key_name"],
        "bundle": f"{row['model']}/{row['version']}",
        "threshold": f"{row['threshold']:.4g}",
    }
    listed = "".join(f"<dt>{term}</dt><dd>{escape(fact)}</dd>" for term, fact in facts.items() if fact)
    if not isinstance(spec, InputSpec):
        drawn = _listed(json.loads(row["input"]))
    else:
        values = instance(row["input"], spec)
        drawn = _picture(values, spec, name) if spec.image is not None else _bars(values, name)
    caption = f"<b>{row['score']:.4g}</b> {escape(row['class_name'])}"
    return f"<figure>{drawn}<figcaption>{caption}<dl>{listed}</dl></figcaption></figure>"


def _listed(values: dict[str, Any]) -> str:
    """Inputs by name as a list of terms; long ones are cut."""
    lines = []
    for key, value in values.items():
        text = (
            "missing" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        )
        shown = text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]} ... {len(text)} characters in total"
        lines.append(f"<dt>{escape(key)}</dt><dd>{escape(shown)}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def _picture(values: Rows, spec: InputSpec, name: str) -> str:
    stream = io.BytesIO()
    picture(values, spec).save(stream, "PNG")
    source = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{source}">'


def picture(values: Rows, spec: InputSpec) -> Image.Image:
    """An instance (*shape) of an image bundle as 8-bit pixels, no larger than a thumbnail."""
    assert spec.image is not None
    pixels = spec.to_pixels(values[None])[0]
    drawn = Image.fromarray(pixels[:, :, 0] if spec.image.mode == "L" else pixels)
    drawn.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return drawn


def _bars(values: Rows, name: str) -> str:
    """The first numbers as bars from zero, and the first few of those as text; a missing value is a gap."""
    flat = values.reshape(-1)
    numbers = flat[:MAX_BARS].astype(np.float64)
    is_missing = np.isnan(numbers)
    shown = np.where(is_missing, 0, numbers)
    low, high = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    span = high - low or 1.0
    tops, ends = (high - np.maximum(shown, 0)) / span * 100, (high - np.minimum(shown, 0)) / span * 100
    bars = "".join(
        f'<rect x="{index}" y="{top:.2f}" width="0.8" height="{max(end - top, 0.5):.2f}"/>'
        for index, (top, end) in enumerate(zip(tops, ends, strict=True))
        if not is_missing[index]
    )
    listed = " ".join("missing" if math.isnan(value) else f"{value:.4g}" for value in flat[:MAX_VALUES].tolist())
    more = f" ... {flat.size} in total" if flat.size > MAX_VALUES else ""
    return (
        f'<svg role="img" aria-label="{escape(name)}" viewBox="0 0 {len(shown)} 100" preserveAspectRatio="none">{bars}'
        f"</svg><details><summary>values</summary><pre>{listed}{more}</pre></details>"
    )
