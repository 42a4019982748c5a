"""Modules as people write them: for series, texts and images."""

from __future__ import annotations

import math

import torch
from torch import nn

__all__ = ["AutoEncoder", "LanguageModel", "SeriesEncoder", "SeriesGRU", "UNet", "make_series_cnn"]


def make_series_cnn(n_channels, n_classes, widths):
    """Convolutions over time, and the mean over time in front of a linear layer."""
    parts, fan_in = [], n_channels
    for width in widths:
        parts += [nn.Conv1d(fan_in, width, 5, padding=2), nn.ReLU()]
        fan_in = width
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(fan_in, n_classes)
    )


class SeriesGRU(nn.Module):
    """A GRU whose last state is classified."""

    def __init__(self, n_channels, n_classes, width):
        super().__init__()
        self.gru = nn.GRU(n_channels, width, batch_first=True)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


class SeriesEncoder(nn.Module):
    """A transformer encoder (GELU) whose mean over time is classified."""

    def __init__(self, n_channels, n_classes, width, n_heads, length):
        super().__init__()
        self.embed = nn.Linear(n_channels, width)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                width, n_heads, 2 * width, dropout=0.1, activation="gelu", batch_first=True
            ),
            num_layers=1,
        )
        self.head = nn.Linear(width, n_classes)
        self.register_buffer("places", _waves(length, width))

    def forward(self, x):
        return self.head(self.encoder(self.embed(x) + self.places).mean(dim=1))


def _waves(length, width):
    """Sines and cosines that tell places in time apart (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(length, width)


class LanguageModel(nn.Module):
    """Embedding, GRU, linear; logits (N, vocabulary, T), as cross-entropy takes them."""

    def __init__(self, vocabulary, width):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x):
        return self.head(self.gru(self.tokens(x))[0]).transpose(1, 2)


def _double_conv(fan_in, fan_out):
    """Two 3 x 3 convolutions with BatchNorm, the unit of a U-Net."""
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(fan_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(fan_out),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Image to image with skips at two scales (Ronneberger et al. 2015)."""

    def __init__(self, n_channels, n_classes, width):
        super().__init__()
        self.down1, self.down2 = _double_conv(n_channels, width), _double_conv(width, 2 * width)
        self.middle = _double_conv(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.merge2 = _double_conv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.merge1 = _double_conv(2 * width, width)
        self.head = nn.Conv2d(width, n_classes, 1)

    def forward(self, x):
        fine = self.down1(x)
        coarse = self.down2(nn.functional.max_pool2d(fine, 2))
        hidden = self.middle(nn.functional.max_pool2d(coarse, 2))
        hidden = self.merge2(torch.cat([coarse, self.up2(hidden)], dim=1))
        return self.head(self.merge1(torch.cat([fine, self.up1(hidden)], dim=1)))


class AutoEncoder(nn.Module):
    """Convolutions down to a code and up again; takes the noise out of images."""

    def __init__(self, width):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 2, stride=2),
        )

    def forward(self, x):
        return self.decode(self.encode(x))
