"""`python -m tests.support.screenshots`: renews the screenshots of the live page in `docs/images`.

It sends clean images first, then equal numbers of clean and corrupted ones, at a steady rate, while the page is open.
"""

from __future__ import annotations

import io
import sys
import threading
import time

import numpy as np
from PIL import Image
from playwright.sync_api import Page
from tqdm import tqdm

from harmgauge.bundle.rows import Rows
from tests.conftest import ROOT
from tests.support.browser import opened, running_browser
from tests.support.page_traffic import GAUGED, samples
from tests.support.process import RunningService, running_service

OUT = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 900

ROWS_PER_SECOND = 25
CLEAN_SECONDS, MIXED_SECONDS = 200, 70

COLOURS = 256
"""A palette reduces the size to a third, with no visible difference on a plain page."""


class Traffic(threading.Thread):
    """Sends one image after another at a steady rate until it is stopped."""

    def __init__(self, service: RunningService) -> None:
        super().__init__()
        self._service = service
        self._random = np.random.default_rng(0)
        self._ended = threading.Event()
        self.images: Rows = samples().clean

    def run(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            self._service.score(self.images[self._random.integers(0, len(self.images))])
            due = max(due + 1 / ROWS_PER_SECOND, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))

    def end(self) -> None:
        self._ended.set()
        self.join()


def _wait(seconds: float, what: str) -> None:
    for _ in tqdm(range(round(seconds)), desc=what, unit="s"):
        time.sleep(1)


def _save(page: Page, name: str) -> str:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = OUT / name
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    return f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB"


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    with running_service(GAUGED) as service, running_browser() as browser:
        traffic = Traffic(service)
        traffic.start()
        try:
            _wait(CLEAN_SECONDS, "clean images")
            traffic.images = np.concatenate([samples().clean, samples().corrupted])
            _wait(MIXED_SECONDS, "clean and corrupted images")
            for theme in ("light", "dark"):
                with opened(browser, service, width=WIDTH, height=HEIGHT, color_scheme=theme) as tab:
                    tab.page.wait_for_timeout(3000)
                    sys.stdout.write(f"made {_save(tab.page, f'page-{theme}.png')}\n")
        finally:
            traffic.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
