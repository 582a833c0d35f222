"""A bundle's graph as PyTorch modules, compared with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harmgauge.bundle.load import Bundle, load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.differentiable import open_classifier, open_watched
from tests.conftest import SHIPPED_BUNDLE
from tests.support.toy import instances, linear_network, toy_autoencoder_bundle


@pytest.fixture(scope="module")
def with_autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(toy_autoencoder_bundle(tmp_path_factory.mktemp("bundle")))


def test_the_shipped_graph_gives_what_it_gives_in_the_service_and_gradients() -> None:
    bundle = load(SHIPPED_BUNDLE)
    x = instances(8, (32, 32, 3))
    watched, expected = open_watched(bundle.graph, x), OnnxRuntime(bundle, "cpu").run(x)
    real = torch.from_numpy(x).float().requires_grad_()
    score = watched.score(real)
    np.testing.assert_allclose(score.detach(), expected.score, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(watched.classifier(real).exp().detach(), expected.probabilities, atol=1e-4)
    gradient = torch.autograd.grad(score.sum(), real)[0]
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().flatten(1).sum(1) > 0).any()


def test_the_second_network_of_an_autoencoder_is_the_defense(with_autoencoder: Bundle) -> None:
    x = instances(20, (4, 4, 3))
    expected = OnnxRuntime(with_autoencoder, "cpu").run(x).corrected_probabilities
    assert expected is not None
    found = open_watched(with_autoencoder.graph, x).second(torch.from_numpy(x)).exp()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_classifier_alone_is_the_same(with_autoencoder: Bundle) -> None:
    x = instances(20, (4, 4, 3))
    rows = torch.from_numpy(x)
    alone, whole = open_classifier(with_autoencoder.graph, x), open_watched(with_autoencoder.graph, x)
    np.testing.assert_array_equal(alone(rows), whole.classifier(rows))
    assert len(list(alone.parameters())) < len(list(whole.classifier.parameters()))


def test_a_graph_of_others_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = linear_network(tmp_path_factory.mktemp("other") / "other.onnx", (5,), 3, 1)
    with pytest.raises(UserError, match="lacks the tensors of a graph made by harmgauge"):
        open_watched(path.read_bytes(), instances(4, (5,)))
