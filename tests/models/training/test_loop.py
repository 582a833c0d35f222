"""Training: the networks, the loop that resumes, and the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from harmgauge_models.data.cifar10 import Labelled
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict
from harmgauge_models.networks.classifiers import ResNet32
from harmgauge_models.networks.export import to_onnx
from harmgauge_models.training.loop import Learner, Task, fit
from harmgauge_models.training.resnet32 import augmented
from tests.support.toy import instances


def task(epochs: int, **settings: Any) -> Task:
    x = torch.from_numpy(instances(64, (5,), "float32"))
    y = (x[:, 0] > 0).long()

    def batches(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.from_numpy(np.random.default_rng((0, epoch)).permutation(64))
        return [(x[rows], y[rows]) for rows in torch.chunk(order, 4)]

    return Task("toy", batches, 4, functional.cross_entropy, epochs, {"epochs_in_all": 4, **settings}, bfloat16=False)


def learner() -> Learner:
    torch.manual_seed(0)
    network = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    return Learner(network, optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=16))


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole, cut = learner(), learner()
    losses = fit(whole, task(4), tmp_path / "whole.checkpoint")
    assert losses[-1] < losses[0]
    fit(cut, task(2), tmp_path / "cut.checkpoint")
    resumed = learner()
    assert fit(resumed, task(4), tmp_path / "cut.checkpoint") == losses
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    fit(learner(), task(1), tmp_path / "checkpoint")
    with pytest.raises(UserError, match="different settings"):
        fit(learner(), task(4, seed=7), tmp_path / "checkpoint")


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    broken = learner()
    with torch.no_grad():
        broken.network.get_parameter("weight").fill_(float("nan"))
    with pytest.raises(UserError, match="the loss of epoch 1 is nan"):
        fit(broken, task(1), tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_resnet32_is_the_published_network() -> None:
    network = ResNet32()
    assert sum(parameter.numel() for parameter in network.parameters()) == 464_154
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 32


def test_the_export_takes_raw_pixels_and_any_number_of_rows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet32().eval()
    x = instances(7, (32, 32, 3))
    path = to_onnx(network, torch.from_numpy(x[:2]), tmp_path / "network.onnx")
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    for rows in (1, 2, 7):
        np.testing.assert_allclose(predict(path, x[:rows], "test"), expected[:rows], atol=1e-4)
    assert str(tmp_path).encode() not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes(), "the file tells nothing of the machine"


def test_augmentation_crops_and_flips_but_keeps_labels() -> None:
    x = np.zeros((64, 32, 32, 3), np.uint8)
    x[:, 8:24, 20] = 200  # a stroke on the right
    part = Labelled(x, np.arange(64))
    batches = list(augmented(part, 32, (0, 0)))
    assert [len(images) for images, _ in batches] == [32, 32]
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(64))
    columns = {int(image.sum((0, 2)).argmax()) for images, _ in batches for image in images.float()}
    assert columns <= set(range(16, 25)) | set(range(7, 16)), "moved by at most 4 pixels, or mirrored"
    assert len(columns) > 9
    again = list(augmented(part, 32, (0, 0)))
    other = list(augmented(part, 32, (0, 1)))
    assert torch.equal(batches[0][0], again[0][0])
    assert not torch.equal(batches[0][1], other[0][1])
