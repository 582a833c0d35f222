"""One training loop for every network: seeded, resumable, with a progress bar.

All randomness of an epoch comes from (seed, epoch), so a resumed run gets the same batches as an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from harmgauge_models.errors import UserError

Batch = tuple[Tensor, Tensor]
"""Raw instances (b, *shape) and their targets: labels (b,) or soft labels (b, classes)."""

Batches = Iterable[tuple[Tensor | tuple[Tensor, ...], Tensor]]
"""Like `Batch`, for networks that take one tensor or several."""


@dataclass(frozen=True)
class Task:
    """A training task: the data, the loss and the settings.

    `batches(epoch)` gives the epoch's batches, `batches_per_epoch` of them; `loss(logits, targets)` is a scalar.
    `settings` is everything that determines the result: a checkpoint made under other settings is rejected.
    """

    name: str
    batches: Callable[[int], Batches]
    batches_per_epoch: int
    loss: Callable[[Tensor, Tensor], Tensor]
    epochs: int
    settings: dict[str, Any]
    bfloat16: bool


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Learner:
    """The contents of a checkpoint apart from the losses; `schedule` steps once per batch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None


def fit(learner: Learner, task: Task, checkpoint: Path) -> list[float]:
    """Train the network in place until `task.epochs` are done, resuming from `checkpoint` if it exists.

    Returns the mean loss of each epoch. Raises UserError if the checkpoint belongs to different settings, or if the
    loss becomes NaN or infinite.
    """
    target = device()
    learner.network.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub lacks it
    losses = _resume(learner, task, checkpoint)
    total, done = task.epochs * task.batches_per_epoch, len(losses) * task.batches_per_epoch
    interval = 0.2 if sys.stderr.isatty() else 30
    with tqdm(total=total, initial=done, desc=task.name, mininterval=interval) as bar:
        for epoch in range(len(losses), task.epochs):
            loss = _epoch(learner, task, epoch, target, bar)
            if not math.isfinite(loss):
                raise UserError(f"{task.name}: the loss of epoch {epoch + 1} is {loss}; check the range of the data")
            losses.append(loss)
            bar.set_postfix(epoch=f"{epoch + 1}/{task.epochs}", loss=f"{loss:.4f}", refresh=False)
            _save(learner, task, losses, checkpoint)
    learner.network.to("cpu").eval()
    return losses


def _epoch(learner: Learner, task: Task, epoch: int, target: torch.device, bar: tqdm[Any]) -> float:
    learner.network.train()
    loss_sum, rows = 0.0, 0
    for raw, wanted in task.batches(epoch):
        inputs = [tensor.to(target) for tensor in (raw if isinstance(raw, tuple) else (raw,))]
        targets = wanted.to(target)
        with torch.autocast(target.type, torch.bfloat16, enabled=task.bfloat16):
            logits = learner.network(*inputs)
        loss = task.loss(logits.float(), targets)
        learner.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch's own
        learner.optimizer.step()
        if learner.schedule is not None:
            learner.schedule.step()
        loss_sum += loss.item() * len(targets)
        rows += len(targets)
        bar.update()
    return loss_sum / rows


def _save(learner: Learner, task: Task, losses: list[float], path: Path) -> None:
    state = {
        "settings": json.dumps(task.settings, sort_keys=True),
        "losses": losses,
        "network": learner.network.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "schedule": None if learner.schedule is None else _plain(learner.schedule.state_dict()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)  # an interrupted run leaves the old checkpoint complete


def _resume(learner: Learner, task: Task, path: Path) -> list[float]:
    if not path.exists():
        return []
    state = torch.load(path, weights_only=True)
    if state["settings"] != json.dumps(task.settings, sort_keys=True):
        raise UserError(
            f"{path} belongs to a run with different settings ({state['settings']}); remove it, or choose another "
            "folder"
        )
    learner.network.load_state_dict(state["network"])
    learner.optimizer.load_state_dict(state["optimizer"])
    if learner.schedule is not None:
        learner.schedule.load_state_dict(state["schedule"])
    losses: list[float] = state["losses"]
    return losses


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A schedule's numbers without its functions, which cannot be stored in a checkpoint that loads no code."""
    return {key: value for key, value in state.items() if isinstance(value, int | float | list | str | bool)}
