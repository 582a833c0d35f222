"""Distils the classifier into a head that maps the feature maps of a disturbed image to the classifier's output for the
clean one.

Its cross-entropy against the classifier's own output is then close to -ln of the probability that the classifier would
give the same answer for the clean image, which is a direct estimate of harm. Clean images are part of the training, so
that the head agrees with the classifier on them.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch.nn import functional

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import Pictures
from harmgauge_models.data.prefetch import prefetch
from harmgauge_models.data.random_corruptions import disturb
from harmgauge_models.data.wrong_scale import wrongly_scaled
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.export import to_onnx
from harmgauge_models.graphs.feature_maps import FeatureMap, WithFeatureMaps
from harmgauge_models.graphs.fuse import Network, with_reader
from harmgauge_models.graphs.real_numbers import takes_raw
from harmgauge_models.networks.feature_head import FeatureHead
from harmgauge_models.training.loop import Batches, Learner, Task, fit


@dataclass(frozen=True)
class Recipe:
    """AdamW on the cross-entropy to the soft labels; the learning rate follows one cycle; part of each batch stays
    clean.
    """

    epochs: int = 24
    batch_rows: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    clean_share: float = 0.25
    seed: int = 0


SPREAD_ROWS = 512
WRONG_SCALE_SHARE = 0.08
"""Share of disturbed real-valued images that are put on a different scale; 8-bit images have only one scale."""


def distil_head(
    classifier: Classifier,
    taps: tuple[FeatureMap, ...],
    x: Array,
    soft_labels: npt.NDArray[np.float64],
    *,
    pictures: Pictures,
    recipe: Recipe,
    work: Path | None,
    settings: dict[str, Any],
) -> tuple[Classifier, list[float]]:
    """Train a head on `taps` of the classifier with images `x` (n, *shape) and the classifier's `soft_labels` (n,
    classes).

    Returns the head as a second network and the mean loss (KL divergence in nats) of each epoch. With `work`, an
    interrupted run resumes from its checkpoint there.
    """
    torch.manual_seed(recipe.seed)
    first = classifier.network
    tapped = WithFeatureMaps(first, tuple(tap.name for tap in taps), threads=torch.get_num_threads())
    *maps, _ = tapped(x[:SPREAD_ROWS])
    spreads = [torch.from_numpy(tensor.std((0, 2, 3))) for tensor in maps]
    real = x.dtype.kind == "f"
    network = FeatureHead([tap.shape for tap in taps], spreads, classifier.classes, first.gives, bounded=real)
    labels = torch.from_numpy(soft_labels.astype(np.float32))
    entropy = float(-(soft_labels * np.log(np.maximum(soft_labels, 1e-300))).sum(1).mean())
    steps = -(-len(x) // recipe.batch_rows)
    wrong_scales = {"wrong_scales": WRONG_SCALE_SHARE} if real else {}

    def batches(epoch: int) -> Batches:
        random = np.random.default_rng((recipe.seed, epoch))
        order = random.permutation(len(x))
        for start in range(0, len(order), recipe.batch_rows):
            rows = order[start : start + recipe.batch_rows]
            pixels = pictures.to_pixels(x[rows])
            disturbed = round(len(rows) * (1 - recipe.clean_share))
            pixels[:disturbed] = disturb(pixels[:disturbed], random)
            made = pictures.from_pixels(pixels)
            if real:
                wrong = round(disturbed * WRONG_SCALE_SHARE)
                made[:wrong] = wrongly_scaled(x[rows[:wrong]], random)
            tensors = tapped(made)
            yield tuple(torch.from_numpy(tensor) for tensor in tensors), labels[torch.from_numpy(rows)]

    task = Task(
        name="distil into a head on the classifier's features",
        batches=lambda epoch: prefetch(batches(epoch)),
        batches_per_epoch=steps,
        loss=functional.cross_entropy,
        epochs=recipe.epochs,
        settings={**settings, "taps": [asdict(tap) for tap in taps], "rows": len(x), **asdict(recipe), **wrong_scales},
        bfloat16=True,
    )
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.15, cycle_momentum=False
    )
    with tempfile.TemporaryDirectory() as scratch:
        losses = fit(Learner(network, optimizer, schedule), task, (work or Path(scratch)) / "head.checkpoint")
        network.fold()
        names = [*(f"map_{index}" for index in range(len(taps))), "said"]
        examples = {name: torch.from_numpy(tensor) for name, tensor in zip(names, tapped(x[:2]), strict=True)}
        model = onnx.load(str(to_onnx(network, examples, Path(scratch) / "head.onnx")))
    takes_raw(model, names[:-1], [tap.dtype for tap in taps], [tap.scale for tap in taps])
    reads = tuple(zip((*(tap.name for tap in taps), first.output), names, strict=True))
    second = Network(model, first.inputs, "logits", "logits", reads)
    runnable = with_reader(first, second).SerializeToString()
    made = Classifier(Path("head"), runnable, second, classifier.inputs, classifier.classes)
    return made, [loss - entropy for loss in losses]
