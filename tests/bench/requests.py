"""The requests of the benchmarks: one body, in every format and size that is measured."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.samples import read_samples

RAW = "application/octet-stream"
JSON = "application/json"
CONNECTIONS = (1, 4, 16, 64)


@dataclass(frozen=True)
class Case:
    """A request of `rows` rows, and the numbers of connections at which it is measured."""

    request: str
    rows: int
    body: bytes
    media_type: str
    connections: tuple[int, ...] = CONNECTIONS
    path: str = "/score"


def cases(bundle: Bundle) -> list[Case]:
    """Requests with the bundle's first sample images."""
    rows = read_samples(bundle).clean
    assert len(rows) >= 128, "the largest request has 128 rows"
    npy, png = io.BytesIO(), io.BytesIO()
    np.save(npy, rows[:1])
    Image.fromarray(rows[0]).save(png, "PNG")
    as_json = json.dumps({"instances": rows[:1].tolist()}).encode()
    return [
        Case("1 row, raw", 1, rows[:1].tobytes(), RAW),
        Case("1 row, .npy", 1, npy.getvalue(), "application/x-npy"),
        Case("1 row, JSON", 1, as_json, JSON),
        Case("1 row, V2 JSON", 1, v2_json(bundle), JSON, path=f"/v2/models/{bundle.manifest.name}/infer"),
        Case("1 row, PNG", 1, png.getvalue(), "image/png"),
        Case("8 rows, raw", 8, rows[:8].tobytes(), RAW, (4, 16)),
        Case("32 rows, raw", 32, rows[:32].tobytes(), RAW),
        Case("128 rows, raw", 128, rows[:128].tobytes(), RAW, (4, 16)),
    ]


def v2_json(bundle: Bundle) -> bytes:
    """The first sample image as a request of the Open Inference Protocol."""
    [tensor] = bundle.manifest.inputs
    row = read_samples(bundle).clean[:1]
    found = {"name": tensor.name, "datatype": "UINT8", "shape": row.shape, "data": row.ravel().tolist()}
    return json.dumps({"inputs": [found]}).encode()
