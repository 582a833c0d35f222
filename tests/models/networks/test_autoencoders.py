"""Autoencoders: the default for each input, and that the output has the form of the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from harmgauge_models.networks.autoencoders import default_autoencoder, literature_autoencoder, narrow_autoencoder
from harmgauge_models.networks.classifiers import ResNet32, Standardise
from tests.support.toy import instances


@pytest.mark.parametrize(
    ("shape", "convolutional"),
    [
        ((32, 32, 3), True),
        ((28, 20, 1), True),
        ((3, 16, 24), True),
        ((9, 8, 3), False),
        ((4, 4, 3), False),
        ((3, 4, 4), False),
        ((30,), False),
        ((10, 7), False),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_it_fits_the_input(shape: tuple[int, ...], convolutional: bool, dtype: str) -> None:
    x = instances(8, shape, dtype)
    autoencoder = default_autoencoder(x)
    assert any(isinstance(module, nn.Conv2d) for module in autoencoder.modules()) == convolutional
    made = autoencoder(torch.from_numpy(x))
    assert made.shape == (8, *shape)
    assert made.dtype == torch.float32


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_standardising_is_undone(layout: str) -> None:
    x = torch.from_numpy(instances(4, (6, 5, 3)))
    mean, spread = torch.tensor(ResNet32.MEAN), torch.tensor(ResNet32.SPREAD)
    if layout == "CHW":
        x, mean, spread = x.permute(0, 3, 1, 2), mean[:, None, None], spread[:, None, None]
    standardise = Standardise(mean, spread, channels_last=layout == "HWC")
    assert standardise(x).shape == (4, 3, 6, 5)
    torch.testing.assert_close(standardise.undo(standardise(x)), x.float())


def test_the_literatures_has_its_layers() -> None:
    autoencoder = literature_autoencoder(instances(8, (32, 32, 3)))
    sizes = [tuple(parameter.shape) for parameter in autoencoder.parameters() if parameter.ndim > 1]
    assert sizes == [
        (32, 3, 4, 4),
        (64, 32, 4, 4),
        (256, 64, 4, 4),
        (40, 4096),
        (2048, 40),
        (128, 256, 4, 4),
        (256, 64, 4, 4),
        (64, 3, 4, 4),
    ]
    x = torch.from_numpy(instances(2, (32, 32, 3)))
    assert autoencoder(x).shape == x.shape
    codes = autoencoder.encoder(autoencoder.standardise(x))
    assert codes.shape == (2, 40)
    assert np.isfinite(codes.detach().numpy()).all()


@pytest.mark.parametrize("shape", [(32, 32, 3), (3, 16, 24)])
def test_the_narrow_ones_code_is_a_quarter_as_high_and_wide(shape: tuple[int, ...]) -> None:
    autoencoder = narrow_autoencoder(instances(8, shape))
    x = torch.from_numpy(instances(2, shape))
    assert autoencoder(x).shape == x.shape
    standardised = autoencoder.standardise(x)
    height, width = standardised.shape[2:]
    assert autoencoder.encoder(standardised).shape == (2, 64, height // 4, width // 4)
