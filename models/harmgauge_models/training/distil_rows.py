"""Distils the classifier for rows of any kind: from a disturbed row to the classifier's output for the undisturbed one.

The second network's probability of the predicted class is then an estimate of the probability that the classifier would
give the same answer for the undisturbed row. Clean rows are part of the training, so that the network agrees with the
classifier on them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from harmgauge.bundle.rows import Array
from harmgauge_models.data.disturber import Disturber
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.fuse import Network, with_reader
from harmgauge_models.networks.row_head import RowHead, Scale
from harmgauge_models.networks.writer import written
from harmgauge_models.training.disturbed_rows import DisturbedRows, Reader, enough, make
from harmgauge_models.training.loop import Batches, Learner, Task, fit
from harmgauge_models.training.threads import torch_threads

Log = npt.NDArray[np.float32]
"""ln of probabilities, (n, classes)."""


@dataclass(frozen=True)
class Recipe:
    """AdamW on the cross-entropy to the soft labels; the learning rate follows one cycle; part of each batch stays
    clean.

    An epoch has `steps` batches. The share `held_out` of the training rows judges the epochs: the best one is kept.
    """

    epochs: int = 32
    steps: int = 250
    batch_rows: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    clean_share: float = 0.25
    held_out: float = 0.1
    hidden: tuple[int, int] = (128, 64)
    seed: int = 0


JUDGED_COPIES = 8
"""Maximum number of copies of each held-out row."""


class RowDistillation:
    """Training rows and the classifier's outputs for them, prepared for any number of second networks."""

    def __init__(
        self,
        classifier: Classifier,
        reader: Reader,
        disturber: Disturber,
        x: Array,
        soft_labels: npt.NDArray[np.float64],
        *,
        missing: bool,
        recipe: Recipe,
        work: Path | None,
        settings: dict[str, Any],
    ) -> None:
        """Disturb training rows `x` (n, *shape) with the classifier's `soft_labels` (n, classes).

        Raises UserError if the classifier cannot run on them.
        """
        self._classifier, self._reader, self._disturber = classifier, reader, disturber
        self._missing, self._recipe, self._work, self._settings = missing, recipe, work, settings
        picked = enough(x, reader, recipe.seed)
        x = x[picked]
        self._example = x[:2]
        seen = recipe.epochs * recipe.steps * recipe.batch_rows
        self._rows = make(x, disturber, reader, seed=recipe.seed, work=work, most_rows=seen)
        self._labels = torch.from_numpy(soft_labels[picked].astype(np.float32))
        order = np.random.default_rng(recipe.seed).permutation(len(x))
        judges = round(recipe.held_out * len(x))
        self._judges, self._learners = (torch.from_numpy(part) for part in (order[:judges], order[judges:]))

    @property
    def copies(self) -> int:
        """Number of disturbed copies of each row."""
        return self._rows.copies

    def fit(self, *, without: Collection[str] = (), epochs: int | None = None) -> tuple[RowHead, list[float]]:
        """Train on all disturbances except those named; returns the mean loss (KL divergence in nats) of each epoch."""
        recipe = self._recipe if epochs is None else replace(self._recipe, epochs=epochs)
        classes = self._labels.shape[1]
        torch.manual_seed(recipe.seed)
        scales = [_scale(tensor) for tensor in self._rows.clean[:-1]]
        network = RowHead(
            scales[0] if self._reader.row is not None else None,
            scales[-1] if self._reader.features is not None else None,
            classes,
            self._classifier.network.gives,
            missing=self._missing,
            hidden=recipe.hidden,
            row_values=self._reader.row_values,
        )
        rows = self._rows if self._reader.row is None or self._reader.row_values else _summarised(self._rows, network)
        network.reads_summaries = rows is not self._rows
        kept = self._kept(without)
        name = "rows" + "".join(f"-{family}" for family in sorted(without))
        task = Task(
            name="distil into a head for rows" + (f" without {', '.join(without)}" if without else ""),
            batches=lambda epoch: self._batches(epoch, rows, kept, recipe, best),
            batches_per_epoch=recipe.steps,
            loss=functional.cross_entropy,
            epochs=recipe.epochs,
            settings={
                **self._settings,
                "rows": rows.rows,
                "copies": rows.copies,
                "families": self._disturber.families,
                "without": sorted(without),
                **asdict(recipe),
            },
            bfloat16=False,
        )
        optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            recipe.learning_rate,
            total_steps=recipe.epochs * recipe.steps,
            pct_start=0.15,
            cycle_momentum=False,
        )
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint = (Path(scratch) if self._work is None else self._work) / f"{name}.checkpoint"
            best = _Best(network, lambda: self._judge(network, rows, kept, recipe), checkpoint.with_suffix(".best"))
            if not checkpoint.exists():
                best.forget()
            # Small products finish before a second thread wakes: two threads take ten times as long on busy cores
            with torch_threads(1):
                losses = fit(Learner(network, optimizer, schedule), task, checkpoint)
            best.look()
            best.restore()
        network.reads_summaries = False
        entropy = float(-(self._labels * torch.log(self._labels.clamp(min=1e-30))).sum(1).mean())
        return network.eval(), [loss - entropy for loss in losses]

    def log_q(self, networks: Sequence[RowHead], x: Array) -> list[Log]:
        """The output of each of the `networks` for rows `x` (n, *shape), as logarithms."""
        tensors = self._reader.read(x)
        with torch.no_grad():
            found = [functional.log_softmax(network(*tensors), 1).numpy() for network in networks]
        return [np.asarray(logs, np.float32) for logs in found]

    def export(self, network: RowHead) -> Classifier:
        """The network as a second network that reads inside the classifier's graph."""
        first = self._classifier.network
        inside = self._reader.inside
        names = [f"read_{index}" for index in range(len(inside))]
        raw = self._reader.raw(self._example)
        examples = {name: torch.from_numpy(tensor) for name, tensor in zip(names, raw, strict=True)}
        model = written(network, examples, (self._classifier.classes,))
        second = Network(model, first.inputs, "logits", "logits", tuple(zip(inside, names, strict=True)))
        classifier = self._classifier
        runnable = with_reader(first, second).SerializeToString()
        return Classifier(Path("head"), runnable, second, classifier.inputs, classifier.classes)

    def _kept(self, without: Collection[str]) -> Tensor:
        """A mask (copies, n) of the disturbed rows that have none of these disturbances."""
        families = self._disturber.families
        left_out = [index for index, name in enumerate(families) if name in without]
        free = ~np.isin(self._rows.tags, left_out).any(1)
        return torch.from_numpy(free.reshape(self._rows.copies, -1))

    def _batches(self, epoch: int, rows: DisturbedRows, kept: Tensor, recipe: Recipe, best: _Best) -> Batches:
        if epoch:
            best.look()
        random = torch.Generator().manual_seed(recipe.seed * 10_000 + epoch)
        learnt = torch.nonzero(kept[:, self._learners])
        disturbed = learnt[:, 0] * rows.rows + self._learners[learnt[:, 1]]
        clean = round(recipe.batch_rows * recipe.clean_share)
        for _ in range(recipe.steps):
            some = disturbed[torch.randint(len(disturbed), (recipe.batch_rows - clean,), generator=random)]
            plain = self._learners[torch.randint(len(self._learners), (clean,), generator=random)]
            yield _joined(rows, some, plain), torch.cat([self._labels[some % rows.rows], self._labels[plain]])

    def _judge(self, network: RowHead, rows: DisturbedRows, kept: Tensor, recipe: Recipe) -> float:
        """The loss on held-out rows, weighted as in a batch."""
        judges = self._judges
        if not len(judges):
            return 0.0
        target = next(network.parameters()).device
        found = torch.nonzero(kept[:JUDGED_COPIES][:, judges])
        some = found[:, 0] * rows.rows + judges[found[:, 1]]
        loss = 0.0
        for tensors, which, share in (
            (rows.disturbed, some, 1 - recipe.clean_share),
            (rows.clean, judges, recipe.clean_share),
        ):
            if len(which):
                logits = network(*(tensor[which].to(target) for tensor in tensors))
                labels = self._labels[which % rows.rows].to(target)
                loss += share * float(functional.cross_entropy(logits, labels))
        return loss


class _Best:
    """The weights of the best epoch by `judge`, kept in a file so that an interrupted run can resume."""

    def __init__(self, network: RowHead, judge: Callable[[], float], path: Path) -> None:
        self._network, self._judge, self._path = network, judge, path

    def look(self) -> None:
        with torch.no_grad():
            loss = self._judge()
        before = torch.load(self._path, weights_only=True)["loss"] if self._path.exists() else float("inf")
        if loss <= before:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            torch.save({"loss": loss, "network": self._network.state_dict()}, part)
            part.replace(self._path)

    def forget(self) -> None:
        """Delete the file left by an older run whose checkpoint no longer exists."""
        self._path.unlink(missing_ok=True)

    def restore(self) -> None:
        """Load the weights into the network, on the CPU."""
        kept = torch.load(self._path, map_location="cpu", weights_only=True)
        self._network.load_state_dict(kept["network"])


def _summarised(rows: DisturbedRows, network: RowHead) -> DisturbedRows:
    """The same rows, with what the network reads of them instead of themselves."""
    with torch.no_grad():
        clean, disturbed = ([network.summaries(tensors[0]), *tensors[1:]] for tensors in (rows.clean, rows.disturbed))
    return replace(rows, clean=clean, disturbed=disturbed)


def _joined(rows: DisturbedRows, disturbed: Tensor, clean: Tensor) -> tuple[Tensor, ...]:
    return tuple(
        torch.cat([some[disturbed], plain[clean]]) for some, plain in zip(rows.disturbed, rows.clean, strict=True)
    )


def _scale(tensor: Tensor) -> Scale:
    """The scale of clean rows (n, d), in which NaN is a missing value."""
    values = tensor.numpy().astype(np.float64)
    values = np.where(np.isnan(values).all(0), 0.0, values)
    spread = np.nanstd(values, axis=0)
    return Scale(
        centre=torch.from_numpy(np.nanmean(values, axis=0)),
        spread=torch.from_numpy(np.where(spread > 1e-9, spread, 1.0)),
        least=torch.from_numpy(np.nanmin(values, axis=0)),
        most=torch.from_numpy(np.nanmax(values, axis=0)),
    )
