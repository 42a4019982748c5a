"""Layers of all kinds, as parts of small nets."""

import numpy as np
import torch
from situations import classifier, spectra_by_differences
from torch import nn

RNG = np.random.default_rng(2)
Y = RNG.integers(0, 3, 12)
IMAGES = RNG.normal(size=(12, 2, 6, 6)).astype("float32")
SERIES = RNG.normal(size=(12, 2, 8)).astype("float32")
STEPS = RNG.normal(size=(12, 5, 4)).astype("float32")


class Last(nn.Module):
    """Sends on the last step of a recurrent layer."""

    def __init__(self, layer, width):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = layer, nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class Cell(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell, self.head = cell, nn.Linear(3, 3)

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))


class Encoding(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.encoder(x)[:, 0])


def normalized(norm):
    """Statistics that are not those of a new layer."""
    module = nn.Sequential(nn.Conv2d(2, 4, 3), norm, nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))
    for name, buffer in norm.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape) + (name == "running_var"))
    return module


def of_images(*parts, n=None):
    return nn.Sequential(*parts, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3))


def layers(make, data, **settings):
    def net():
        torch.manual_seed(0)
        module = make()
        with torch.no_grad():
            module(torch.as_tensor(data))
        return classifier(module), data, Y

    return spectra_by_differences("layers", net, **settings)


SITUATIONS = {
    "strided convolutions": layers(lambda: of_images(nn.Conv2d(2, 3, 3, 2, 1)), IMAGES),
    "dilated convolutions in groups": layers(
        lambda: of_images(nn.Conv2d(2, 4, 2, dilation=2, groups=2)), IMAGES
    ),
    "circular padding": layers(
        lambda: of_images(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")), IMAGES
    ),
    "convolutions of series": layers(lambda: of_images(nn.Conv1d(2, 3, 3)), SERIES),
    "transposed convolutions": layers(lambda: of_images(nn.ConvTranspose1d(2, 2, 3)), SERIES),
    "pooling": layers(
        lambda: of_images(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)), IMAGES
    ),
    "batch normalization": layers(lambda: normalized(nn.BatchNorm2d(4)), IMAGES, layers=["0", "1"]),
    "group normalization": layers(
        lambda: normalized(nn.GroupNorm(2, 4)), IMAGES, layers=["0", "1"]
    ),
    "instance normalization": layers(
        lambda: normalized(nn.InstanceNorm2d(4, affine=True)), IMAGES, layers=["0", "1"]
    ),
    "layer normalization": layers(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
        SERIES,
    ),
    "root mean square normalization": layers(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.RMSNorm(4), nn.Linear(4, 3)),
        SERIES,
    ),
    "recurrent": layers(lambda: Last(nn.RNN(4, 3, batch_first=True), 3), STEPS),
    "gated recurrent": layers(lambda: Last(nn.GRU(4, 3, batch_first=True), 3), STEPS),
    "both directions": layers(
        lambda: Last(nn.GRU(4, 2, batch_first=True, bidirectional=True), 4), STEPS
    ),
    "long short-term memory": layers(lambda: Last(nn.LSTM(4, 3, batch_first=True), 3), STEPS),
    "two recurrent layers": layers(
        lambda: Last(nn.LSTM(4, 2, num_layers=2, dropout=0.3, batch_first=True), 2), STEPS
    ),
    "recurrent cells": layers(lambda: Cell(nn.LSTMCell(4, 3)), STEPS),
    "attention": layers(Attending, STEPS),
    "transformer encoder": layers(Encoding, STEPS),
}
