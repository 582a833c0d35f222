"""All kinds at all severities for one set of images, created once and kept in a folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from harmgauge_models.data.corruptions.catalogue import CORRUPTIONS, corrupt
from harmgauge_models.data.corruptions.pixels import SEVERITIES, Images

CHUNK_ROWS = 1000
"""Rows that share a seed: the pixels do not depend on the number of processes."""

FORMAT = 1
"""Incremented when a kind changes its pixels, so that older folders are rebuilt."""


def make(
    images: Images,
    folder: Path,
    seed: int = 0,
    processes: int | None = None,
    kinds: Collection[str] = tuple(CORRUPTIONS),
) -> dict[str, Images]:
    """The corrupted copies of `images` (n, h, w, 3) uint8, by kind: (5, n, h, w, 3) uint8, severity by severity.

    Kept in `folder` as KIND.npy and read back (memory-mapped) if they belong to the same images and seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = {"images": hashlib.sha256(images.tobytes()).hexdigest(), "seed": seed, "format": FORMAT}
    note = folder / "source.json"
    if not note.is_file() or json.loads(note.read_text()) != source:
        for old in folder.glob("*.npy"):
            old.unlink()
        note.write_text(json.dumps(source, indent=1) + "\n")
    missing = [name for name in kinds if not (folder / f"{name}.npy").is_file()]
    if missing:
        with (
            ProcessPoolExecutor(processes or os.cpu_count(), get_context("spawn")) as pool,
            tqdm(total=len(missing), desc="corrupt") as bar,
        ):
            for done in as_completed([pool.submit(_make_kind, name, images, folder, seed) for name in missing]):
                done.result()
                bar.update()
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in kinds}


def _make_kind(name: str, images: Images, folder: Path, seed: int) -> None:
    corrupted = np.empty((len(SEVERITIES), *images.shape), np.uint8)
    for severity in SEVERITIES:
        for chunk, start in enumerate(range(0, len(images), CHUNK_ROWS)):
            rows = slice(start, start + CHUNK_ROWS)
            corrupted[severity - 1, rows] = corrupt(name, images[rows], severity, seed * 1_000_003 + chunk)
    part = folder / f"{name}.part"
    with part.open("wb") as file:
        np.save(file, corrupted, allow_pickle=False)
    part.replace(folder / f"{name}.npy")  # an interrupted run leaves only complete files
