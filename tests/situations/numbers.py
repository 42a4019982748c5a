"""Numbers that are not those of float32: complex parameters, filters and data; half precision."""

import numpy as np
import torch
from situations import classifier, spectra_by_differences, spectra_by_hand
from skorch import NeuralNet, NeuralNetRegressor
from torch import nn

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(16, 6)).astype("float32"), RNG.integers(0, 3, 16)
WAVES = (RNG.normal(size=(16, 3)) + 1j * RNG.normal(size=(16, 3))).astype("complex64")
ONE = RNG.normal(size=(16, 1)).astype("float32")


class Spectral(nn.Module):
    """A layer of complex weights between a Fourier transform and its inverse."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.filter = nn.Parameter(torch.randn(4, dtype=torch.complex64))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.tanh(torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=6)))


class Turning(nn.Module):
    """Turns pairs of features by fixed complex numbers, as rotary positions do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.register_buffer("turns", torch.polar(torch.ones(3), torch.tensor([0.3, 1.0, 2.0])))

    def forward(self, x):
        pairs = torch.view_as_complex(self.first(x).view(-1, 3, 2).contiguous())
        return self.head(torch.tanh(torch.view_as_real(pairs * self.turns).flatten(1)))


class Waves(nn.Module):
    """Takes complex data."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix, self.head = nn.Linear(3, 2, dtype=torch.complex64), nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.mix(x).abs().square())


class Phases(nn.Module):
    """Sends complex numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(3, 2, dtype=torch.complex64)

    def forward(self, x):
        return self.mix(x)


class Distance(nn.Module):
    def forward(self, outputs, targets):
        return (outputs - targets).abs().square().mean() + outputs.abs().pow(4).mean()


def of_filter(p, net, X, y):
    """In real coordinates: what the real and the imaginary part of the filter do, by matrices."""
    x, n = torch.as_tensor(X).double(), 6
    k, t = torch.arange(4.0, dtype=torch.float64), torch.arange(6.0, dtype=torch.float64)
    angles = 2 * np.pi * k[:, None] * t / n
    real, imaginary = x @ torch.cos(angles).T, -x @ torch.sin(angles).T
    a, b = p["filter"].real, p["filter"].imag
    u, v = real * a - imaginary * b, real * b + imaginary * a
    weights = torch.tensor([1.0, 2.0, 2.0, 1.0], dtype=torch.float64)
    z = (u * weights) @ torch.cos(angles) / n - (v * weights * torch.tensor([0.0, 1, 1, 0])) @ (
        torch.sin(angles) / n
    )
    outputs = torch.tanh(z) @ p["head.weight"].T + p["head.bias"]
    return -outputs.log_softmax(1)[torch.arange(len(y)), torch.as_tensor(y)].mean()


def of_waves(p, net, X, y):
    x = torch.as_tensor(X).to(torch.complex128)
    a, b, c, d = x.real, x.imag, p["mix.weight"].real, p["mix.weight"].imag
    u = a @ c.T - b @ d.T + p["mix.bias"].real
    v = a @ d.T + b @ c.T + p["mix.bias"].imag
    outputs = (u**2 + v**2) @ p["head.weight"].T + p["head.bias"]
    return (outputs - torch.as_tensor(y).double()).square().mean()


def of_phases(p, net, X, y):
    x, y = torch.as_tensor(X).to(torch.complex128), torch.as_tensor(y).to(torch.complex128)
    a, b, c, d = x.real, x.imag, p["mix.weight"].real, p["mix.weight"].imag
    u = a @ c.T - b @ d.T + p["mix.bias"].real
    v = a @ d.T + b @ c.T + p["mix.bias"].imag
    return ((u - y.real) ** 2 + (v - y.imag) ** 2).mean() + ((u**2 + v**2) ** 2).mean()


def half():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).to(torch.bfloat16)
    return classifier(module), X, Y


def double():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    return classifier(module), X.astype("float64"), Y


SITUATIONS = {
    "complex weights": spectra_by_hand(
        "numbers", lambda: (classifier(Spectral()), X, Y), of_filter
    ),
    "complex buffers": spectra_by_differences("numbers", lambda: (classifier(Turning()), X, Y)),
    "complex data": spectra_by_hand(
        "numbers",
        lambda: (classifier(Waves(), NeuralNetRegressor, nn.MSELoss), WAVES, ONE),
        of_waves,
    ),
    "complex outputs": spectra_by_hand(
        "numbers",
        lambda: (classifier(Phases(), NeuralNet, Distance), WAVES, WAVES[:, :2]),
        of_phases,
    ),
    "bfloat16": spectra_by_differences("numbers", half),
    "float64": spectra_by_differences("numbers", double),
}
