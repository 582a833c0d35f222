"""How soon a change of the camera is named by measures of pictures, and what they call it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.calibration.sketches import sketches_of
from harmgauge_models.data import cifar10
from harmgauge_models.data.corruptions import corrupt
from tests.bench.drift.plan import STREAMS, table
from tests.support.column_streams import monitor

DATA = Path("../shared/data/cifar-10-batches-bin")
MOST_ROWS = 3000
CLEAN_ROWS = 20_000
STEP_ROWS = 4

CHANGES = (
    ("defocus_blur", 3),
    ("motion_blur", 2),
    ("gaussian_noise", 1),
    ("fog", 3),
    ("contrast", 2),
    ("brightness", 3),
    ("saturate", 1),
    ("jpeg_compression", 3),
    ("pixelate", 3),
)


class Streams:
    """Pictures that are not those of the reference, and the monitor of the reference's measures."""

    def __init__(self) -> None:
        data = cifar10.load(DATA)
        self.pictures, reference = data.test.x, data.held_out.x
        image = ImageSpec(mode="RGB", layout="HWC", scale=1)
        spec = InputSpec(dtype="uint8", shape=(32, 32, 3), minimum=0, maximum=255, image=image)
        self._columns = RowColumns(spec)
        self._sketches = sketches_of(reference, np.zeros(len(reference), np.int64), self._columns)
        self.measured = monitor(self._sketches, self._columns).values.measured

    def run(self, values: npt.NDArray[np.float64], seed: int, rows: int, between: int) -> tuple[int | None, str | None]:
        """The sampled rows until the first name, and this name, of rows drawn from measures (n, c + 1)."""
        columns = monitor(self._sketches, self._columns, between=between, seed=seed)
        drawn = values[np.random.default_rng(seed).integers(0, len(values), rows)]
        for begin in range(0, rows, STEP_ROWS):
            piece = drawn[begin : begin + STEP_ROWS]
            columns.observe_measures(piece, [None] * len(piece))
            view = columns.view()
            if view.drifting:
                return begin + len(piece), view.states(1)[0].column
        return None, None


def section() -> str:
    streams = Streams()
    changes = [[f"{kind}, {severity}", *_delays(streams, kind, severity)] for kind, severity in CHANGES]
    clean = streams.measured(streams.pictures)
    names = sum(
        streams.run(clean, seed, CLEAN_ROWS, 100_000)[1] is not None for seed in tqdm(range(STREAMS), desc="clean")
    )
    return (
        f"CIFAR-10, a reference of {cifar10.HELD_OUT_ROWS:,} pictures, 1e6 rows between false alarms, tolerance .01; "
        f"{STREAMS} streams each. Sampled rows until the first name.\n\n"
        + table(["corruption, severity", "median", "95th percentile", "named first"], changes)
        + f"\n\nStreams with a name, of {STREAMS} clean ones of {CLEAN_ROWS:,} sampled rows with a threshold of 1e5 "
        f"rows: {names}; at most {STREAMS * CLEAN_ROWS / 1e5:.1f} names are expected."
    )


def _delays(streams: Streams, kind: str, severity: int) -> list[str]:
    values = streams.measured(corrupt(kind, streams.pictures, severity))
    found, names = [], Counter[str]()
    for seed in tqdm(range(STREAMS), desc=kind):
        rows, name = streams.run(values, seed, MOST_ROWS, 1_000_000)
        found.append(np.inf if rows is None else rows)
        names[name or "none"] += 1
    median, late = np.percentile(found, [50, 95], method="higher")
    return [f"{median:.0f}", f"{late:.0f}", ", ".join(f"{name} {count}" for name, count in names.most_common())]
