"""The networks that people bring, from public libraries and by hand, each with its bounds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _modules import make_mlp
from _networks import digits, sequences
from _real_data import many_classes, noisy_digits, series, shapes, texts
from _real_modules import (
    AutoEncoder,
    LanguageModel,
    SeriesEncoder,
    SeriesGRU,
    UNet,
    make_series_cnn,
)
from torch import nn

import hessdiag as hd

__all__ = ["NETWORKS", "Bounds", "Network", "make_case", "missing_packages"]

# Declared for a torchvision whose compiled part does not fit torch's build.
_DECLARED = []


@dataclass(frozen=True)
class Bounds:
    """What a network's work should take at most.

    Parameters
    ----------
    explain, spectra : float
        Seconds.
    memory : float
        GB of the whole process.
    """

    explain: float
    spectra: float
    memory: float


@dataclass(frozen=True)
class Network:
    """A network to be built, trained briefly, and looked at.

    Parameters
    ----------
    title : str
        Network and data in a few words.
    build : callable
        ``build(quick)`` returns module, X and y; tiny ones where `quick`.
    bounds : Bounds
        What is aimed at.
    n_epochs : int
        How long it is trained.
    loss : type
        Class of the loss.
    needs : tuple of str
        Packages that it comes from.
    output : str or None
        Name of the tensor that the loss is taken of, where there are several or an object of them.
    """

    title: str
    build: Callable[[bool], tuple[nn.Module, Any, np.ndarray]]
    bounds: Bounds
    n_epochs: int = 5
    loss: type[nn.Module] = nn.CrossEntropyLoss
    needs: tuple[str, ...] = ()
    output: str | None = None


def missing_packages(name):
    """List the packages that a network comes from and that are not installed."""
    return [p for p in NETWORKS[name].needs if importlib.util.find_spec(p) is None]


def make_case(name, quick=False):
    """Build one of the networks, train it briefly by a loop of torch, and make a case of it."""
    network = NETWORKS[name]
    torch.manual_seed(0)
    module, X, y = network.build(quick)
    loss = network.loss()
    train(module, X, y, loss, 1 if quick else network.n_epochs)
    return hd.NetworkCase.from_module(module, X, y, loss=loss, name=name, output=network.output)


def train(module, X, y, loss, n_epochs, batch_size=32):
    """Train by Adam; X is an array, or several by name."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    targets = torch.as_tensor(y)
    module.train()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(y), generator=generator).split(batch_size):
            optimizer.zero_grad()
            loss(_outputs(module, X, rows), targets[rows]).backward()
            optimizer.step()
    module.zero_grad(set_to_none=True)
    module.eval()


def _outputs(module, X, rows):
    """Run a module on some samples."""
    if isinstance(X, dict):
        output = module(**{name: torch.as_tensor(values)[rows] for name, values in X.items()})
    else:
        output = module(torch.as_tensor(X)[rows])
    return getattr(output, "logits", output)


def _mlp(quick):
    n_samples, width = (40, 16) if quick else (1500, 256)
    return make_mlp((64, width, width, width, 10), nn.ReLU), *digits(n_samples, flat=True)


def _series_cnn(quick):
    X, y = series(20, 12) if quick else series(300, 60)
    module = make_series_cnn(3, 3, (4, 4) if quick else (16, 32, 14))
    return module, X.transpose(0, 2, 1).copy(), y


def _series_gru(quick):
    X, y = series(20, 6) if quick else series(300, 60)
    return SeriesGRU(3, 3, 4 if quick else 38), X, y


def _series_encoder(quick):
    n_samples, length = (20, 6) if quick else (300, 60)
    X, y = series(n_samples, length)
    return SeriesEncoder(3, 3, 4 if quick else 24, 2 if quick else 4, length), X, y


def _bert(quick):
    if importlib.util.find_spec("torchvision") is not None:
        _torchvision()  # transformers imports it where it is installed
    from transformers import BertConfig, BertForSequenceClassification

    n_samples, length, vocabulary, width = (16, 6, 40, 8) if quick else (400, 32, 2000, 64)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=1 if quick else 2,
        num_attention_heads=2 if quick else 4,
        intermediate_size=2 * width,
        max_position_embeddings=2 * length,
        num_labels=4,
    )
    return BertForSequenceClassification(config), *texts(n_samples, length, vocabulary)


def _resnet18(quick):
    models = _torchvision().models
    if quick:
        module = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], 10, width_per_group=64)
    else:
        module = models.resnet18(weights=None, num_classes=10)
    return module, *_pictures(quick)


def _vit_tiny(quick):
    sizes = {"depth": 1, "embed_dim": 12, "num_heads": 3} if quick else {}
    side = 8 if quick else 32
    module = _timm().create_model(
        "vit_tiny_patch16_224",
        pretrained=False,
        img_size=side,
        patch_size=4,
        num_classes=10,
        **sizes,
    )
    return module, *_pictures(quick, side)


def _convnext_atto(quick):
    sizes = {"depths": (1, 1, 1, 1), "dims": (4, 4, 8, 8)} if quick else {}
    module = _timm().create_model("convnext_atto", pretrained=False, num_classes=10, **sizes)
    return module, *_pictures(quick)


def _language_model(quick):
    n_samples, length, vocabulary = (8, 4, 30) if quick else (200, 20, 5000)
    return LanguageModel(vocabulary, 4 if quick else 64), *sequences(n_samples, length, vocabulary)


def _unet(quick):
    return UNet(1, 3, 2 if quick else 16), *(shapes(8, 8) if quick else shapes(200, 32))


def _autoencoder(quick):
    X, y = noisy_digits(8, 8) if quick else noisy_digits(500, 32)
    return AutoEncoder(2 if quick else 16), X, y


def _thousand_classes(quick):
    n_classes, width, n_samples = (20, 8, 40) if quick else (1000, 128, 2000)
    return make_mlp((64, width, n_classes), nn.ReLU), *many_classes(n_samples, n_classes, 64)


def _pictures(quick, side=32):
    """Return digits as small pictures in colour."""
    return digits(8 if quick else 200, side, n_channels=3)


def _torchvision():
    """Import torchvision, also where its compiled part is for another build of torch.

    It is then not loaded (none of these networks calls it), but what describes two of its
    operators fails at import, unless they are declared.
    """
    if not _DECLARED:
        folder = Path(importlib.util.find_spec("torchvision").origin).parent
        try:
            for path in folder.glob("_C*.so"):
                torch.ops.load_library(str(path))
        except OSError:
            library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
            _DECLARED.append(library)
    import torchvision

    return torchvision


def _timm():
    """Import timm, which imports torchvision."""
    _torchvision()
    import timm

    return timm


_SMALL, _LARGE = Bounds(2, 2, 0.6), Bounds(60, 60, 3)

NETWORKS = {
    "mlp": Network("MLP 64-256³-10, 1,500 digits", _mlp, _SMALL, 20),
    "series_cnn": Network("1-D CNN, 300 × 60 steps", _series_cnn, _SMALL, 20),
    "series_gru": Network("GRU, 300 × 60 steps", _series_gru, _SMALL, 20),
    "series_encoder": Network("Transformer encoder, 300 × 60 steps", _series_encoder, _SMALL, 20),
    "bert": Network(
        "BERT, 2 layers, 400 × 32 tokens",
        _bert,
        Bounds(30, 30, 2),
        needs=("transformers",),
        output="logits",
    ),
    "resnet18": Network("ResNet-18, 200 of 32×32", _resnet18, _LARGE, 3, needs=("torchvision",)),
    "language_model": Network(
        "GRU language model, vocabulary 5,000, 200 × 20 tokens", _language_model, _LARGE
    ),
    "vit_tiny": Network("ViT-tiny, 200 of 32×32", _vit_tiny, _LARGE, 3, needs=("timm",)),
    "convnext_atto": Network(
        "ConvNeXt-atto, 200 of 32×32", _convnext_atto, _LARGE, 3, needs=("timm",)
    ),
    "unet": Network("U-Net, 200 images of 32×32, 3 classes", _unet, _LARGE),
    "autoencoder": Network(
        "Autoencoder, 500 images of 32×32", _autoencoder, _LARGE, loss=nn.MSELoss
    ),
    "thousand_classes": Network(
        "MLP, 1,000 classes, 2,000 samples", _thousand_classes, Bounds(10, 20, 2), 20
    ),
}
