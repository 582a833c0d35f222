"""Feature maps found in any ONNX classifier, and their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from harmgauge_models.graphs.feature_maps import FeatureMap, WithFeatureMaps, find_feature_maps
from harmgauge_models.graphs.fuse import Network
from harmgauge_models.graphs.run import predict
from tests.support.convolutional import convolutional_network
from tests.support.toy import instances, linear_network


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_the_last_map_of_each_resolution_and_the_picture_before_them(tmp_path: Path, layout: str) -> None:
    model = onnx.load(str(convolutional_network(tmp_path / "network.onnx", layout=layout)))
    x = instances(5, (13, 13, 3) if layout == "HWC" else (3, 13, 13))
    taps = find_feature_maps(Network(model, ("x",), "y", "logits"), x)
    assert taps == (
        FeatureMap("picture", (3, 13, 13)),
        FeatureMap("fine", (6, 13, 13)),
        FeatureMap("coarse", (10, 7, 7)),
    )


def test_tapped_gives_the_maps_and_the_output_of_the_network_itself(tmp_path: Path) -> None:
    path = convolutional_network(tmp_path / "network.onnx")
    x = instances(5, (13, 13, 3))
    picture, coarse, output = WithFeatureMaps(
        Network(onnx.load(str(path)), ("x",), "y", "logits"), ("picture", "coarse")
    )(x)
    np.testing.assert_allclose(picture, x.transpose(0, 3, 1, 2) / np.float32(255), rtol=1e-6)
    assert coarse.min() >= 0
    np.testing.assert_allclose(output, predict(path, x, "network"), rtol=1e-5)


def test_a_network_without_convolutions_has_none(tmp_path: Path) -> None:
    model = onnx.load(str(linear_network(tmp_path / "network.onnx", (8, 8, 3), 4, 0)))
    assert find_feature_maps(Network(model, ("x",), "y", "logits"), instances(2, (8, 8, 3))) == ()
