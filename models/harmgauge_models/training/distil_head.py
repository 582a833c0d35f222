"""Distils the classifier into a head that maps the feature maps of a disturbed image to the classifier's output for the
clean one.

Its cross-entropy against the classifier's own output is then close to -ln of the probability that the classifier would
give the same answer for the clean image, which is a direct estimate of harm. Clean images are part of the training, so
that the head agrees with the classifier on them. So are attacked images, if the classifier has gradients.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import Pictures
from harmgauge_models.data.prefetch import prefetch
from harmgauge_models.data.random_corruptions import disturb
from harmgauge_models.data.wrong_scale import wrongly_scaled
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.feature_maps import FeatureMap, WithFeatureMaps
from harmgauge_models.graphs.fuse import Network, with_reader
from harmgauge_models.graphs.real_numbers import takes_raw
from harmgauge_models.networks.feature_head import FeatureHead
from harmgauge_models.networks.writer import written
from harmgauge_models.training.attacked_pictures import AttackedPictures, attack_pictures
from harmgauge_models.training.harm_loss import HarmLoss
from harmgauge_models.training.loop import Batches, Learner, Task, fit
from harmgauge_models.training.threads import torch_threads


@dataclass(frozen=True)
class Recipe:
    """AdamW on the cross-entropy to the soft labels; the learning rate follows one cycle; part of each batch stays
    clean.
    """

    epochs: int = 62
    batch_rows: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    clean_share: float = 0.25
    attacked_share: float = 0.1
    named: float = 0.25
    changed: float = 0.5
    invariance: float = 0.07
    seed: int = 0


SPREAD_ROWS = 512
WRONG_SCALE_SHARE = 0.08
"""Share of disturbed real-valued images that are put on a different scale; 8-bit images have only one scale."""


@dataclass(frozen=True)
class _Lesson:
    """The pictures `x` (n, *shape) of a training, the classifier's distributions for them, and attacked ones."""

    x: Array
    soft_labels: npt.NDArray[np.float64]
    pictures: Pictures
    attacked: AttackedPictures | None
    recipe: Recipe

    def batches(self, tapped: WithFeatureMaps, epoch: int) -> Batches:
        """The inputs of the head and the targets of HarmLoss: attacked pictures, then disturbed, then clean ones."""
        recipe = self.recipe
        random = np.random.default_rng((recipe.seed, epoch))
        order = random.permutation(len(self.x))
        for start in range(0, len(order), recipe.batch_rows):
            rows = order[start : start + recipe.batch_rows].copy()
            attacked = round(len(rows) * recipe.attacked_share) if self.attacked else 0
            disturbed = round(len(rows) * (1 - recipe.clean_share))
            pixels = self.pictures.to_pixels(self.x[rows])
            pixels[attacked:disturbed] = disturb(pixels[attacked:disturbed], random)
            made = self.pictures.from_pixels(pixels)
            if self.attacked:
                picked = random.integers(len(self.attacked.x), size=attacked)
                made[:attacked], rows[:attacked] = self.attacked.x[picked], self.attacked.rows[picked]
            if made.dtype.kind == "f":
                wrong = slice(disturbed - round(disturbed * WRONG_SCALE_SHARE), disturbed)
                made[wrong] = wrongly_scaled(self.x[rows[wrong]], random)
            tensors = tapped(made)
            targets = [self.soft_labels[rows], tensors[-1].argmax(1), np.arange(len(rows)) >= disturbed]
            yield tuple(map(torch.from_numpy, tensors)), torch.from_numpy(np.column_stack(targets).astype(np.float32))


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
    say: Callable[[str], None],
) -> tuple[Classifier, list[float]]:
    """Train a head on `taps` of the classifier with images `x` (n, *shape) and the classifier's `soft_labels` (n,
    classes).

    Returns the head as a second network and the mean loss of each epoch (see HarmLoss). With `work`, an interrupted run
    resumes from its checkpoint there. If the classifier has no gradients, the head sees no attacks, and `say` gets a
    sentence with the reason.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = work or Path(scratch)
        try:
            attacked = _attacked(
                classifier, x, pictures, seed=recipe.seed, kept=folder / "attacked.npz", settings=settings
            )
        except UserError as error:
            attacked = None
            say(f"the second network is trained without attacked images: {error}")
        return _distilled(classifier, taps, _Lesson(x, soft_labels, pictures, attacked, recipe), folder, settings)


def _distilled(
    classifier: Classifier, taps: tuple[FeatureMap, ...], lesson: _Lesson, work: Path, settings: dict[str, Any]
) -> tuple[Classifier, list[float]]:
    recipe, x, first = lesson.recipe, lesson.x, classifier.network
    torch.manual_seed(recipe.seed)
    # The classifier prepares the next batches meanwhile: as many threads again would make both wait for cores
    threads = max(1, torch.get_num_threads() // 2)
    tapped = WithFeatureMaps(first, tuple(tap.name for tap in taps), threads=threads)
    *maps, _ = tapped(x[:SPREAD_ROWS])
    spreads = [torch.from_numpy(tensor.std((0, 2, 3))) for tensor in maps]
    real = x.dtype.kind == "f"
    network = FeatureHead([tap.shape for tap in taps], spreads, classifier.classes, first.gives, bounded=real)
    steps = -(-len(x) // recipe.batch_rows)
    decided = {
        "taps": [asdict(tap) for tap in taps],
        "rows": len(x),
        "attacked": len(lesson.attacked.x) if lesson.attacked else 0,
    }
    if real:
        decided["wrong_scales"] = WRONG_SCALE_SHARE
    task = Task(
        name="distil into a head on the classifier's features",
        batches=lambda epoch: prefetch(lesson.batches(tapped, epoch)),
        batches_per_epoch=steps,
        loss=HarmLoss(classifier.classes, recipe.named, recipe.changed, recipe.invariance),
        epochs=recipe.epochs,
        settings={**settings, **decided, **asdict(recipe)},
        bfloat16=False,  # the small maps of a head take longer in it
    )
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.15, cycle_momentum=False
    )
    with torch_threads(threads):
        losses = fit(Learner(network, optimizer, schedule), task, work / "head.checkpoint")
    network.fold()
    names = [*(f"map_{index}" for index in range(len(taps))), "said"]
    examples = {name: torch.from_numpy(tensor) for name, tensor in zip(names, tapped(x[:2]), strict=True)}
    model = written(network.eval(), examples, (classifier.classes,))
    takes_raw(model, names[:-1], [tap.dtype for tap in taps], [tap.scale for tap in taps])
    reads = tuple(zip((*(tap.name for tap in taps), first.output), names, strict=True))
    second = Network(model, first.inputs, "logits", "logits", reads)
    runnable = with_reader(first, second).SerializeToString()
    return Classifier(Path("head"), runnable, second, classifier.inputs, classifier.classes), losses


def _attacked(
    classifier: Classifier, x: Array, pictures: Pictures, *, seed: int, kept: Path, settings: dict[str, Any]
) -> AttackedPictures:
    """Attacked pictures, from the file `kept` if it was made under the same settings. Raises UserError."""
    made_by = json.dumps({**settings, "rows": len(x), "seed": seed}, sort_keys=True)
    if kept.exists():
        with np.load(kept, allow_pickle=False) as found:
            if str(found["made_by"]) == made_by:
                return AttackedPictures(found["x"], found["rows"])
    attacked = attack_pictures(classifier, x, pictures, seed=seed)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, x=attacked.x, rows=attacked.rows, made_by=made_by)
    part.replace(kept)
    return attacked
