"""The networks of the bench, briefly trained on bundled or generated data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _modules import ResNet, Transformer, make_cnn, make_mlp
from sklearn.datasets import load_digits
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from hessdiag.resumable import fit_to_the_end

__all__ = ["NETWORKS", "Workload", "layer_names", "make_workload", "small_workload"]


@dataclass
class Workload:
    """A trained net, its data and the work to be done on it."""

    name: str
    net: Any
    X: np.ndarray
    y: np.ndarray
    n_probes: int = 3
    n_steps: int = 30
    max_repeats: int | None = None
    # Peers are timed on one layer of this many, and scaled up.
    peer_stride: int = 1
    # Samples for the exact spectra; None takes all.
    exact_samples: int | None = None
    # Steps and number of layers of an untimed comparison of largest eigenvalues, where those of
    # the timed work have not converged.
    agreement: tuple[int, int] | None = None
    # Most steps of Lanczos where errors are looked at.
    largest_steps: int = 45

    @property
    def model(self):
        """The torch module, in evaluation mode."""
        return self.net.module_.eval()

    @property
    def criterion(self):
        """The loss, a mean over all predictions."""
        return self.net.criterion_

    def tensors(self, n_samples=None):
        """Return X and y as tensors on the net's device, as the peers take them."""
        device = next(self.net.module_.parameters()).device
        return tuple(torch.as_tensor(a[:n_samples]).to(device) for a in (self.X, self.y))


def layer_names(module):
    """List the modules that own trainable parameters: the layers of hessdiag's default."""
    return [
        name
        for name, part in module.named_modules()
        if any(p.requires_grad for p in part.parameters(recurse=False))
    ]


def digits(n_samples, side=8, n_channels=1, flat=False):
    """Take digits of all classes, enlarged to `side` and shaded differently per channel."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:n_samples]
    images = torch.as_tensor(data.images[order] / 16.0, dtype=torch.float32)[:, None]
    if side != 8:
        images = nn.functional.interpolate(images, size=(side, side), mode="bilinear")
    if n_channels > 1:
        shades = np.random.default_rng(1).uniform(0.3, 1.0, (len(order), n_channels, 1, 1))
        images = images * torch.as_tensor(shades, dtype=torch.float32)
    if flat:
        images = images.flatten(1)
    return images.numpy(), data.target[order].astype(np.int64)


def sequences(n_samples, length, vocabulary):
    """Draw sequences from a random sparse Markov chain; the targets are the next tokens."""
    rng = np.random.default_rng(0)
    followers = rng.integers(vocabulary, size=(vocabulary, 4))
    tokens = np.empty((n_samples, length + 1), dtype=np.int64)
    tokens[:, 0] = rng.integers(vocabulary, size=n_samples)
    for t in range(length):
        tokens[:, t + 1] = followers[tokens[:, t], rng.integers(4, size=n_samples)]
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def train(module, X, y, n_epochs, device, kind=NeuralNetClassifier):
    """Fit a net by a few full-batch steps of Adam; `n_epochs` 0 only initializes."""
    torch.manual_seed(0)
    net = kind(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=2e-3,
        max_epochs=n_epochs,
        batch_size=-1,
        train_split=None,
        device=device,
        verbose=0,
    )
    net = fit_to_the_end(net, X, y) if n_epochs else net.initialize()
    net.module_.zero_grad(set_to_none=True)
    return net


def _mlp(name, activation, device, quick):
    n_samples, width = (48, 16) if quick else (512, 256)
    X, y = digits(n_samples, flat=True)
    torch.manual_seed(0)
    module = make_mlp((64, width, width, width, 10), activation)
    exact = min(n_samples, 150)  # N * C = 1500
    net = train(module, X, y, 60, device)
    return Workload(name, net, X, y, exact_samples=exact)


def _cnn(device, quick):
    n_samples, side = (16, 8) if quick else (256, 28)
    X, y = digits(n_samples, side)
    torch.manual_seed(0)
    module = make_cnn((4, 8), 16, 8) if quick else make_cnn()
    return Workload("cnn", train(module, X, y, 40, device), X, y)


def _transformer(device, quick):
    n_samples, length, vocabulary = (4, 8, 16) if quick else (16, 64, 512)
    X, y = sequences(n_samples, length, vocabulary)
    torch.manual_seed(0)
    module = Transformer(vocabulary, length, 16, 2, 2) if quick else Transformer()
    net = train(module, X, y, 30, device, kind=NeuralNet)
    return Workload("transformer", net, X, y, 1, 10, 3, 4, agreement=(30, 7))


def _resnet18(device, quick):
    n_samples, side = (4, 8) if quick else (32, 32)
    X, y = digits(n_samples, side, n_channels=3)
    torch.manual_seed(0)
    module = ResNet((4, 6), 1) if quick else ResNet()
    net = train(module, X, y, 10, device)
    return Workload("resnet18", net, X, y, 1, 10, 3, 4, agreement=(30, 4))


NETWORKS = {
    "mlp_relu": lambda device, quick: _mlp("mlp_relu", nn.ReLU, device, quick),
    "mlp_gelu": lambda device, quick: _mlp("mlp_gelu", nn.GELU, device, quick),
    "cnn": _cnn,
    "transformer": _transformer,
    "resnet18": _resnet18,
}


def make_workload(name, device="cpu", quick=False):
    """Build and train one of the networks; `quick` makes it tiny, for tests of the bench."""
    workload = NETWORKS[name](device, quick)
    if quick:
        workload.n_steps = min(workload.n_steps, 6)
        workload.agreement = workload.agreement and (12, 3)
    return workload


def small_workload(depth, width, n_samples, n_classes, activation, device="cpu"):
    """Make an untrained MLP on random data, to see how cost grows in each of its sizes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, width)).astype(np.float32) / math.sqrt(width)
    y = np.arange(n_samples, dtype=np.int64) % n_classes
    torch.manual_seed(0)
    module = make_mlp((width,) * depth + (n_classes,), activation)
    return Workload("mlp", train(module, X, y, 0, device), X, y)
