"""Camera images for a 224 x 224 classifier, compared with bare ONNX Runtime plus Pillow's own decoding and resizing.

`python -m tests.bench.camera` measures this alone, and what preparation costs over Pillow's own steps.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harmgauge.api.body.images import read_image
from harmgauge.api.body.picture_room import PictureRoom
from harmgauge.bundle.load import Bundle, load
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.options import Options
from tests.bench.load import closed_loop
from tests.bench.report import Line
from tests.support.photographs import as_torchvision, camera_photograph, class_folders, image_file
from tests.support.process import fresh_service

if TYPE_CHECKING:
    from torch import nn

REQUEST = "1 camera JPEG"
CONNECTIONS = 16
SIZE = (2592, 1944)
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@contextmanager
def camera_bundle() -> Iterator[Path]:
    """A bundle of an untrained network with the layers of ResNet-18, which takes as long as a trained one."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        network, rows = _network().eval(), torch.zeros(2, 3, SIDE, SIDE)
        torch.onnx.export(
            network, (rows,), folder / "c.onnx", dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False
        )
        yield build(
            Options(
                classifier=folder / "c.onnx",
                classifier_gives="logits",
                detector="entropy",
                calibration=class_folders(folder / "images", 100, width=300, height=260),
                name="camera",
                mean=MEAN,
                std=STD,
                resize=256,
                crop=(SIDE, SIDE),
                features="none",
                out=folder,
                say=lambda _: None,
            )
        )


def _network() -> nn.Module:
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for wider, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for number in range(4):
            layers += [nn.Conv2d(width, wider, 3, stride if number == 0 else 1, 1), nn.ReLU()]
            width = wider
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2))


def by_pillow(body: bytes) -> npt.NDArray[np.uint8]:
    """The prepared row, (1, 3, 224, 224), from Pillow's own steps."""
    return np.ascontiguousarray(as_torchvision(body, 256, (SIDE, SIDE)).transpose(2, 0, 1))[None]


def bare_rate(bundle: Bundle, body: bytes, seconds: float) -> float:
    """Images per second of Pillow and ONNX Runtime without a service, on one thread per core."""
    runtime = OnnxRuntime(bundle, "cpu", max_batch_rows=1)
    runtime.run(by_pillow(body))
    end = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            runtime.run(by_pillow(body))
            done += 1
        return done

    with ThreadPoolExecutor(usable_cores()) as pool:
        return float(sum(pool.map(work, range(usable_cores())))) / seconds


def measure(seconds: float, rounds: int) -> list[Line]:
    """A line for each round; the ratio is to the mean of the bare runs before and after."""
    body = image_file(camera_photograph(*SIZE), "JPEG", quality=90)
    lines: list[Line] = []
    with camera_bundle() as path, fresh_service(path) as service:
        bundle, url = load(path), f"http://127.0.0.1:{service.port}/score"
        for _ in range(rounds):
            before = bare_rate(bundle, body, seconds)
            seen = closed_loop(url, body, "image/jpeg", CONNECTIONS, 2 * seconds)
            rate, after = seen.requests_per_second, bare_rate(bundle, body, seconds)
            ratio = rate / statistics.mean((before, after))
            lines.append(Line(REQUEST, CONNECTIONS, rate, ratio, seen.p50_seconds, seen.p99_seconds))
    return lines


def preparation_ratio(bundle: Bundle, body: bytes, rounds: int = 20) -> float:
    """CPU time of the service's reader over that of Pillow's own steps: medians, in alternation."""
    spec, room = bundle.manifest.input, PictureRoom(SIZE[0] * SIZE[1])

    def cpu_seconds(function: Callable[[], Any]) -> float:
        began = time.thread_time()
        function()
        return time.thread_time() - began

    seen = [
        (cpu_seconds(lambda: read_image(body, "JPEG", spec, lambda: None, room)), cpu_seconds(lambda: by_pillow(body)))
        for _ in range(rounds)
    ]
    ours, pillows = (statistics.median(column) for column in zip(*seen, strict=True))
    return float(ours / pillows)


def main() -> int:
    body = image_file(camera_photograph(*SIZE), "JPEG", quality=90)
    with camera_bundle() as path:
        bundle = load(path)
        np.testing.assert_array_equal(read_image(body, "JPEG", bundle.manifest.input), by_pillow(body))
        sys.stdout.write(f"decoding and preparation over Pillow's own: {preparation_ratio(bundle, body):.2f}\n")
    for line in measure(4, 3):
        sys.stdout.write(
            f"{line.rows_per_second:.1f} images/s, {line.ratio:.2f} of bare, p50 {line.p50_seconds:.2f} s\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
