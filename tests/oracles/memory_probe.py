"""Run in a process of its own: how much memory spectra or an examination take, beside the plan.

Prints a list as JSON, for every setting asked for: `peak`, the bytes by which resident memory rose
at its highest; `planned`; `largest`, the largest eigenvalues; or `error`.
"""

import ctypes
import gc
import json
import sys
from pathlib import Path

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from hessdiag.examination import examine
from hessdiag.spectra import layer_spectra, plan_spectra

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


def mlp(activation):
    return nn.Sequential(
        nn.Linear(64, 400), activation(), nn.Linear(400, 400), activation(), nn.Linear(400, 10)
    )


def cnn(activation):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        activation(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        activation(),
        nn.Linear(64, 10),
    )


class Transformer(nn.Module):
    def __init__(self, activation):
        super().__init__()
        name = {nn.ReLU: "relu", nn.GELU: "gelu"}[activation]
        self.embed = nn.Embedding(100, 64)
        self.body = nn.Sequential(
            *(nn.TransformerEncoderLayer(64, 4, 256, 0.0, name, batch_first=True) for _ in range(2))
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.body(self.embed(x)).mean(dim=1))


def make(network, activation):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    if network == "mlp":
        module, X = mlp(ACTIVATIONS[activation]), rng.normal(size=(512, 64)).astype("float32")
    elif network == "cnn":
        module = cnn(ACTIVATIONS[activation])
        X = rng.normal(size=(128, 1, 16, 16)).astype("float32")
    else:
        module, X = Transformer(ACTIVATIONS[activation]), rng.integers(0, 100, (48, 16))
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, verbose=0, train_split=None
    ).initialize()
    return net, X, rng.integers(0, 10, len(X))


def status(key):
    """Read one number of bytes from the kernel's account of this process."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(key + ":"):
                return 1024 * int(line.split()[1])
    raise ValueError(key)


def peak_of(work):
    """Return what `work` returns, and the bytes by which resident memory rose meanwhile."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    result = work()
    return result, status("VmHWM") - before


def measure(net, X, y, settings):
    """Compute the spectra once, looking at memory."""
    if "max_gram_size" in settings:
        examination, peak = peak_of(lambda: examine(net, X, y, **settings))
        return {"peak": peak, "n_samples": examination.context["n_samples_examined"]}
    try:
        planned = plan_spectra(net, X, y, **settings)
        spectra, peak = peak_of(lambda: layer_spectra(net, X, y, **settings))
    except ValueError as error:
        return {"error": str(error)}
    return {
        "peak": peak,
        "planned": planned.bytes,
        "table": str(planned),
        "largest": {name: spectrum.max_eigenvalue for name, spectrum in spectra.items()},
        "exact": {name: spectrum.exact for name, spectrum in spectra.items()},
        "ways": {layer.name: layer.way for layer in planned.layers},
    }


def main(network, activation, several):
    torch.set_num_threads(1)
    net, X, y = make(network, activation)
    few = slice(0, 12)
    # Libraries take their own memory at first use.
    for warm in ({}, {"method": "lanczos", "n_lanczos_steps": 3}):
        layer_spectra(net, X[few], y[few], **warm)
    if any("max_gram_size" in settings for settings in several):
        examine(net, X[few], y[few], max_gram_size=50)
    print(json.dumps([measure(net, X, y, settings) for settings in several]))


if __name__ == "__main__":
    main(*sys.argv[1:3], json.loads(sys.argv[3]))
