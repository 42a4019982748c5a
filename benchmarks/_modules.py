"""The modules of the bench's networks."""

from __future__ import annotations

import itertools

import torch
from torch import nn

__all__ = ["ResNet", "Transformer", "make_cnn", "make_mlp"]


def make_mlp(sizes, activation):
    parts = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        parts += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*parts[:-1])


def make_cnn(channels=(16, 32), hidden=128, side=28):
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (side // 4) ** 2, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


class TransformerBlock(nn.Module):
    """Causal self-attention and a GELU network, each behind a LayerNorm and beside a skip."""

    def __init__(self, width, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, d = x.shape
        heads = self.attention_in(self.norm1(x)).view(n, t, 3, self.n_heads, d // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(n, t, d))
        return x + self.contract(nn.functional.gelu(self.expand(self.norm2(x))))


class Transformer(nn.Module):
    """Decoder-only language model; logits (N, vocabulary, T), as cross-entropy takes them."""

    def __init__(self, vocabulary=512, length=64, width=128, n_heads=4, depth=4):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*[TransformerBlock(width, n_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x):
        place = torch.arange(x.shape[1], device=x.device).expand(x.shape)
        hidden = self.blocks(self.tokens(x) + self.positions(place))
        return self.head(self.norm(hidden)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm beside a skip."""

    def __init__(self, fan_in, fan_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(fan_out, momentum=0.3)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(fan_out, momentum=0.3)
        self.skip = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.skip = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride, bias=False),
                nn.BatchNorm2d(fan_out, momentum=0.3),
            )

    def forward(self, x):
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.skip(x))


class ResNet(nn.Module):
    """ResNet-18 as used for images of 32 x 32 (a 3 x 3 stem without pooling)."""

    def __init__(self, widths=(64, 128, 256, 512), n_blocks=2):
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0], momentum=0.3)
        blocks, fan_in = [], widths[0]
        for i, width in enumerate(widths):
            for j in range(n_blocks):
                blocks.append(ResidualBlock(fan_in, width, 2 if i > 0 and j == 0 else 1))
                fan_in = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(fan_in, 10)

    def forward(self, x):
        hidden = self.blocks(torch.relu(self.norm(self.stem(x))))
        return self.head(hidden.mean(dim=(2, 3)))
